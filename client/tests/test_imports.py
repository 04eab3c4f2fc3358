"""Runs of the past out of spreadsheets, MLflow and W&B: what is read, what is shown, what is refused."""

import json
import math
import os
import pty
import shutil
import time
import unittest
from pathlib import Path

from tests.helpers import TemporaryCase
from tests.test_commands_ledger import CommandCase

from lora_ledger.imports import fields, mlflow, wandb
from lora_ledger.imports.fields import Context
from lora_ledger.imports.table import Table

DATA = Path(__file__).parent / "data"
SHEET = """日期,名称,底模,学习率,dim,alpha,batch,轮数,优化器,loss,时长(小时),状态,显卡,费用,备注,画师
2026年5月1日,aki v1,SDXL 1.0,1e-4,32,16,2,10,AdamW8bit,0.0931,1.5,成功,RTX 4090,¥12.5,"不错, 很好",a
2026/5/2,aki v2,flux dev,5e-5,64,32,4,20,Prodigy,0.081,2.25,完成,RTX 4090,25,,7
2026/5/3,坏了,flux dev,一,64,32,4,20,Prodigy,,2.25,失败,A100,30,OOM,
2026/5/3,跑着,flux dev,1e-4,64.5,32,4,20,Prodigy,,2.25,进行中,A100,30,,
"""


class FieldsTest(unittest.TestCase):
    def setUp(self):
        before = os.environ.get("TZ")
        os.environ["TZ"] = "Asia/Shanghai"
        time.tzset()

        def back():
            os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
            time.tzset()

        self.addCleanup(back)

    def test_headers_in_many_spellings(self):
        for header, field, unit in (
            ("学习率", "learning_rate", None), ("LR", "learning_rate", None), ("ＬＲ", "learning_rate", None),
            ("learning-rate", "learning_rate", None), ("Dim", "lora_rank", None), ("秩", "lora_rank", None), ("r", "lora_rank", None),
            ("Network Alpha", "lora_alpha", None), ("Epochs", "epochs", None), ("轮数", "epochs", None), ("损失", "final_loss", None),
            ("avr_loss", "final_loss", None), ("时长(小时)", "total_duration_sec", "小时"), ("duration_h", "total_duration_sec", "h"),
            ("Hours", "total_duration_sec", "hours"), ("批大小", "batch_size", None), ("底模", "base_model_path", None), ("BS", "batch_size", None),
        ):  # fmt: skip
            with self.subTest(header):
                found, told = fields.candidates(header)
                self.assertEqual((found[0], told), (field, unit))
        self.assertEqual(fields.candidates("训练时间")[0], ["started_at", "total_duration_sec"])
        self.assertEqual(fields.candidates("artist"), ([], None))

    def test_numbers(self):
        comma = Context(",")
        for text, context, value in (
            ("1e-4", None, 1e-4), ("0,0001", comma, 1e-4), ("1.234,5", comma, 1234.5), ("1,234.5", None, 1234.5), ("12 000", None, 12000),
            ("5%", None, 0.05), ("１２", None, 12), ("1×10^-4", None, 1e-4), ("−3", None, -3), ("€4.50", None, 4.5),
            ("9007199254740993", None, 9007199254740993),
        ):  # fmt: skip
            with self.subTest(text):
                self.assertEqual(fields.number(text, context), value)
        for text in ("", "一", "1e999", "1.2.3", "nan", "0x10", "1e-4/5e-5"):
            with self.subTest(text), self.assertRaises(ValueError):
                fields.number(text)
        for texts, mark in (
            (["1,5"], ","),
            (["1,234"], "."),
            (["1,234", "0,5"], ","),
            (["1,234.5"], "."),
            (["0,0001"], ","),
            (["8"], "."),
        ):
            self.assertEqual(fields.decimal_mark(texts), mark, texts)

    def test_dates(self):
        for text, moment in (
            ("2026-05-01", "2026-04-30T16:00:00.000Z"), ("2026/5/1", "2026-04-30T16:00:00.000Z"), ("2026.5.1", "2026-04-30T16:00:00.000Z"),
            ("20260501", "2026-04-30T16:00:00.000Z"), ("01.05.2026", "2026-04-30T16:00:00.000Z"), ("May 1, 2026", "2026-04-30T16:00:00.000Z"),
            ("2026年5月1日 13:45", "2026-05-01T05:45:00.000Z"), ("2026年5月1日 13时45分", "2026-05-01T05:45:00.000Z"),
            ("1 May 2026 3:04 pm", "2026-05-01T07:04:00.000Z"), ("2026-05-01T10:00:00.123Z", "2026-05-01T10:00:00.123Z"),
            ("2026-05-01 10:00:00.5+0200", "2026-05-01T08:00:00.500Z"), ("45778", "2025-04-30T16:00:00.000Z"), ("1746093600", "2025-05-01T10:00:00.000Z"),
            ("1746093600000", "2025-05-01T10:00:00.000Z"),
        ):  # fmt: skip
            with self.subTest(text):
                self.assertEqual(fields.time(text), moment)
        self.assertEqual(fields.time("5/1/2026", Context(order="dmy"))[:10], "2026-01-04")
        self.assertEqual(fields.day_order(["5/1/2026", "13/1/2026"]), "dmy")
        self.assertEqual(fields.day_order(["5/1/2026", "1/13/2026"]), "mdy")
        self.assertIsNone(fields.day_order(["5/1/2026"]))
        for text in ("2026-02-30", "2026-05-01 25:00", "5/1", "soon", "99999999999999999999", "1/1/1"):
            with self.subTest(text), self.assertRaises(ValueError):
                fields.time(text)

    def test_durations_and_states(self):
        for text, seconds in (
            ("1:30:00", 5400),
            ("90 min", 5400),
            ("1.5h", 5400),
            ("2h30m", 9000),
            ("1小时30分钟", 5400),
            ("1d 2:00:00", 93600),
        ):
            self.assertEqual(fields.duration(text), seconds, text)
        self.assertEqual(fields.duration("1,5", Context(",", unit="小时")), 5400)
        for text, state in (
            ("完成", "success"),
            ("✅", "success"),
            ("OK", "success"),
            ("失败", "failed"),
            ("stopped", "cancelled"),
        ):
            self.assertEqual(fields.status(text), state)
        with self.assertRaisesRegex(ValueError, "not over yet"):
            fields.status("Running")
        for text, arch in (
            ("SD 1.5", "sd15"),
            ("sd_xl_base_1.0", "sdxl"),
            ("flux1-dev", "flux"),
            ("Animagine XL", "sdxl"),
            ("AKI", None),
        ):
            self.assertEqual(fields.arch_of(text), arch, text)


class SheetTest(CommandCase):
    def sheet(self, text, name="runs.csv", encoding="utf-8"):
        path = self.folder / name
        path.write_bytes(text.encode(encoding))
        return path

    def past(self, number):
        return self.server.tasks[number]["fields"]

    def test_nothing_is_written_before_it_was_shown_and_agreed_to(self):
        path = self.sheet(SHEET)
        out, err = self.run_command("import", path, code=2)
        self.assertRegex(out, r"学习率 +learning_rate +1e-4 +0\.0001")
        self.assertRegex(out, r"画师 +\(kept under its own name\)")
        self.assertIn("runs.csv: 2 runs, and 2 rows that cannot be imported", out)
        self.assertIn("line 4: 学习率: '一' is no number", out)
        self.assertIn("line 5: dim: '64.5' is no whole number; 状态: '进行中': a run that is not over yet", out)
        self.assertIn("add --yes", err)
        self.run_command("import", path, "--dry-run", code=1)
        _, err = self.run_command("import", path, "--strict", "--yes", code=1)
        self.assertIn("nothing was imported", err)
        self.assertEqual(self.server.tasks, {})

    def test_rows_become_runs_once(self):
        path = self.sheet(SHEET)
        out, _ = self.run_command("import", path, "--yes", code=1, env={"TZ": "UTC"})
        self.assertIn("2 imported, 0 known already, 2 failed", out)
        source = self.past(1)["import"].pop("source")
        self.assertEqual(
            self.past(1),
            {
                "task_name": "aki v1", "base_model_path": "SDXL 1.0", "base_arch": "sdxl", "model_type": "stable-diffusion",
                "learning_rate": 1e-4, "lora_rank": 32, "lora_alpha": 16, "batch_size": 2, "epochs": 10, "optimizer": "AdamW8bit",
                "gpu_info": "RTX 4090", "notes": "不错, 很好",
                "import": {"started_at": "2026-05-01T00:00:00.000Z", "final_loss": 0.0931, "total_duration_sec": 5400.0, "status": "success", "cost": 12.5, "additional_args": {"画师": "a"}},
            },
        )  # fmt: skip
        self.assertEqual((self.past(2)["import"]["additional_args"]["画师"], self.past(2)["base_arch"]), (7, "flux"))
        # A longer file, another order of columns and another encoding: the rows are the same ones.
        rows = [line.split(",") for line in SHEET.replace('"不错, 很好"', "不错").splitlines()]
        self.sheet(
            SHEET + "2026/5/9,aki v3,flux dev,1e-4,8,4,1,1,Lion,0.2,1,ok,A100,3,,\n" * 2, "longer.csv", "gb18030"
        )
        out, _ = self.run_command("import", self.folder / "longer.csv", "--yes", code=1)
        self.assertIn("2 imported, 2 known already, 2 failed", out)
        turned = "\n".join("\t".join(reversed(row)) for row in rows[:1] + rows[2:3])
        out, _ = self.run_command("import", self.sheet(turned, "turned.tsv", "utf-16"), "--yes")
        self.assertIn("0 imported, 1 known already, 0 failed", out)
        self.assertTrue(source.startswith("table:"))

    def test_corrections(self):
        text = "Time;Rank;Rang;Artist;Loss;When\n90;8;1;mio;0,5;3/4/2026\n45;16;2;;1,25;5/4/2026\n"
        path = self.sheet(text)
        out, _ = self.run_command("import", path, "--dry-run")
        self.assertIn('--map "Time=total_duration_sec:min"', out)
        self.assertIn("--dates dmy", out)
        self.run_command(
            "import", path, "--yes", "--map", "Time=total_duration_sec:min", "--map", "rang=seed", "--map", "Artist=tags.artist",
            "--dates", "dmy", "--group", "old", env={"TZ": "UTC"},
        )  # fmt: skip
        self.assertEqual(self.past(1)["import"] | {"source": ""}, {
            "source": "", "total_duration_sec": 5400, "final_loss": 0.5, "started_at": "2026-04-03T00:00:00.000Z",
        })  # fmt: skip
        self.assertEqual(
            (self.past(1)["seed"], self.past(1)["tags"], self.past(1)["experiment_group"]),
            (1, {"artist": "mio"}, "old"),
        )
        self.assertNotIn("tags", self.past(2))
        for more, words in (
            (("--map", "Nope=seed"), "there is no column 'Nope'"), (("--map", "Rank=rank_"), "there is no field rank_"), (("--map", "Rank"), "COLUMN=FIELD"),
            (("--ignore", "x"), "there is no column"),
        ):  # fmt: skip
            _, err = self.run_command("import", path, "--yes", *more, code=1)
            self.assertIn(words, err)
        out, _ = self.run_command("import", path, "--dry-run", "--ignore", "Rang", "--map", "Loss=+")
        self.assertRegex(out, r"Rang +\(left out\)")
        self.assertRegex(out, r"Loss +\(kept under its own name\)")

    def test_a_person_at_a_terminal_corrects_and_agrees(self):
        path = self.sheet("Name,R,Stuff\na,8,x\n")
        parent, child = pty.openpty()
        self.addCleanup(os.close, parent)
        process = self.client("import", path, stdin=child)
        os.close(child)
        os.write(parent, b"Stuff=nope\nStuff=notes\ny\n")
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("there is no field nope", out.decode())
        self.assertEqual((self.past(1)["notes"], self.past(1)["lora_rank"]), ("x", 8))

    def test_odd_files(self):
        for name, content, words in (
            ("a.csv", b"", "holds no rows"), ("b.csv", b"name,rank\n", "holds no rows"), ("c.xlsx", b"PK\x03\x04" + bytes(40), "save the sheet as CSV"),
            ("d.json", b"{}", "neither"), ("e.json", b"[" * 100_000, "neither"), ("f.zip", b"PK\x05\x06" + bytes(18), "no archive"),
            ("g.zip", b"nothing", "no archive"),
        ):  # fmt: skip
            with self.subTest(name):
                (self.folder / name).write_bytes(content)
                _, err = self.run_command("import", self.folder / name, "--yes", code=1)
                self.assertIn(words, err)
        # Quotes, line ends within cells, a byte order mark, more cells than columns, a formula's apostrophe.
        text = '\ufeffname,notes,rank\r\n"a ""b""","two\r\nlines",8\r\n\'=1+1,\'-x,16\r\nc,d,4,more\r\n'
        out, _ = self.run_command("import", self.sheet(text), "--yes", code=1)
        self.assertIn("line 5: it has more cells than there are columns", out)
        self.assertEqual((self.past(1)["task_name"], self.past(1)["notes"]), ('a "b"', "two\r\nlines"))
        self.assertEqual((self.past(2)["task_name"], self.past(2)["notes"]), ("=1+1", "-x"))

    def test_any_text_is_a_table_or_a_plain_word(self):
        for text in (
            "a\nb\n",
            "a,a\n1,2\n",
            ",,\n1,2,3\n",
            "a\tb\r1\t2\r",
            '"x\n',
            "a,b\n" + "1," * 5000 + "\n",
            "id,status,cost\n1,ok,2\n",
            "\x00a,b\n1,2\n",
        ):
            _, _, err = self.run_client("import", self.sheet(text), "--dry-run")
            self.assertNotIn("should not have happened", err, text)
            self.assertNotIn("Traceback", err, text)
        sheet = Table(self.sheet("id,status,cost,config,import,key_id\n1,ok,2,3,4,5\n"))
        runs, _ = sheet.runs()
        # A column of a server's name never becomes that.
        self.assertEqual(set(runs[0].body()), {"task_name", "import"})
        self.assertEqual(runs[0].body()["import"]["additional_args"], {"config": 3, "import": 4, "key_id": 5})


class TrackerTest(CommandCase):
    def mlruns(self):
        """The layout that MLflow's file store writes."""
        top = self.folder / "mlruns" / "914036704653015165"
        run = top / "a1e65ffd9162487396c991f9e5a63da2"
        files = {
            top / "meta.yaml": "artifact_location: file:///x\nexperiment_id: '914036704653015165'\nlifecycle_stage: active\nname: aki loras\n",
            run / "meta.yaml": "end_time: 1795516663353\nexperiment_id: '914036704653015165'\nlifecycle_stage: active\n"
            "run_id: a1e65ffd9162487396c991f9e5a63da2\nrun_name: 'second: odd ''name'''\nstart_time: 1795516663293\nstatus: 3\ntags: []\nuser_id: root\n",
            run / "params" / "learning_rate": "0.0001", run / "params" / "network_dim": "16", run / "params" / "train" / "epochs": "3",
            run / "metrics" / "loss": "1795516663305 1.0 0\n1795516663311 0.5 1\n1795516663351 nan 20\n17955166",
            run / "metrics" / "train" / "lr": "1795516663305 0.002 0\n",
            run / "tags" / "kind": "style", run / "tags" / "mlflow.user": "root", run / "tags" / "mlflow.note.content": "two\nlines",
        }  # fmt: skip
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self.folder / "mlruns", run

    def test_mlflow_folder(self):
        top, run = self.mlruns()
        gone = run.with_name("b" * 32)
        shutil.copytree(run, gone)
        (gone / "meta.yaml").write_text(
            (run / "meta.yaml").read_text().replace("status: 3", "status: 1").replace("a1e65", "b1e65")
        )
        out, err = self.run_command("import", top, code=1)
        self.assertIn("1 imported, 0 known already, 1 failed", out)
        self.assertIn("it is not over yet", err)
        task = self.server.tasks[1]
        self.assertEqual(
            task["fields"],
            {
                "task_name": "second: odd 'name'", "learning_rate": 1e-4, "lora_rank": 16, "epochs": 3, "experiment_group": "aki loras",
                "notes": "two\nlines", "tags": {"kind": "style"},
                "config_snapshot": {"learning_rate": "0.0001", "network_dim": "16", "train/epochs": "3"},
                "import": {
                    "source": "mlflow:a1e65ffd9162487396c991f9e5a63da2", "status": "success",
                    "started_at": "2026-11-24T10:37:43.293Z", "finished_at": "2026-11-24T10:37:43.353Z",
                },
            },
        )  # fmt: skip
        self.assertEqual(self.server.points(1, "loss"), {0: 1.0, 1: 0.5, 20: "NaN"})
        self.assertEqual(self.server.points(1, "train/lr"), {0: 0.002})
        out, _ = self.run_command("import", top, code=1)
        self.assertIn("0 imported, 1 known already", out)
        self.assertEqual(len(self.server.tasks[1]["attempts"][1]["beats"]), 1)

    def test_mlflow_csv_is_the_same_run(self):
        top, _ = self.mlruns()
        self.run_command("import", top)
        path = self.folder / "exp.csv"
        path.write_text(
            "run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.loss,metrics.train_loss,metrics.lr,params.lr,"
            "params.learning_rate,tags.mlflow.runName,tags.mlflow.user,tags.kind\n"
            "a1e65ffd9162487396c991f9e5a63da2,1,FINISHED,f,2026-11-24 10:37:43.293+00:00,2026-11-24 10:37:43.353+00:00,0.5,,1e-9,,0.0001,first,root,style\n"
            "c,1,FAILED,f,2026-11-24 10:37:43.293+00:00,,,0.25,1e-9,5e-05,,,root,\n"
        )
        out, _ = self.run_command("import", path, "--yes")
        self.assertIn("1 imported, 1 known already, 0 failed", out)
        self.assertEqual(
            self.server.tasks[2]["fields"],
            {
                "task_name": "exp line 3", "learning_rate": 5e-05,
                "import": {
                    "source": "mlflow:c", "status": "failed", "started_at": "2026-11-24T10:37:43.293Z", "final_loss": 0.25,
                    "additional_args": {"metrics.lr": 1e-9},
                },
            },
        )  # fmt: skip

    def test_wandb_offline_folder(self):
        folder = DATA / "offline-run-aki00001"
        out, _ = self.run_command("import", folder)
        self.assertIn("1 imported, 0 known already, 0 failed", out)
        fields_ = self.server.tasks[1]["fields"]
        self.assertEqual(
            (
                fields_["task_name"],
                fields_["experiment_group"],
                fields_["notes"],
                fields_["tags"],
                fields_["lora_rank"],
                fields_["learning_rate"],
            ),
            ("wb run", "g1", "some notes", {"style": "yes", "v1": "yes"}, 16, 1e-4),
        )
        self.assertEqual(fields_["config_snapshot"], {"learning_rate": 1e-4, "lora_rank": 16, "nested": {"a": 1}})
        self.assertEqual((fields_["import"]["status"], fields_["import"]["source"]), ("success", "wandb:aki00001"))
        points = self.server.points(1, "train/loss")
        self.assertEqual(points, {n: 1 / (n + 1) for n in range(30)} | {30: "NaN"})
        out, _ = self.run_command("import", folder / "run-aki00001.wandb")
        self.assertIn("0 imported, 1 known already", out)

    def test_wandb_log_cut_off_or_damaged(self):
        data = (DATA / "offline-run-aki00001" / "run-aki00001.wandb").read_bytes()
        folder = self.folder / "offline-run-x"
        folder.mkdir()
        whole = None
        for length in (0, 5, 7, 100, 2000, 6000, len(data) - 1, len(data)):
            (folder / "run-x.wandb").write_bytes(data[:length])
            runs, left = wandb.runs(self.folder)
            self.assertEqual(len(runs) + len(left), 1)
            for run in runs:
                json.dumps(run.body())
                whole = run
        self.assertEqual(whole.fields["status"], "success")
        (folder / "run-x.wandb").write_bytes(data[:6000])
        cut = wandb.runs(self.folder)[0][0]
        self.assertEqual(cut.fields["status"], "failed")
        self.assertLess(len(list(cut.curves[1]())), 31)
        for at in range(7, len(data), 211):
            (folder / "run-x.wandb").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
            for run in wandb.runs(self.folder)[0]:
                json.dumps(run.body())
                for curve in run.curves.values():
                    list(curve())

    def test_wandb_json(self):
        runs = [
            {
                "id": "abc", "name": "jolly", "state": "finished", "created_at": "2026-05-01T10:00:00Z", "tags": ["a"], "group": "g",
                "config": {"lr": {"value": 0.1, "desc": None}, "_wandb": {"value": {}}}, "summary": {"loss": 0.2, "_runtime": 12.5},
                "history": [{"_step": 0, "loss": 0.5, "_timestamp": 1746093600.5, "img": {"_type": "image"}}, {"_step": 2.0, "loss": "NaN", "a": {"b": 1}}],
            },
            {"id": "def", "displayName": "two", "state": "crashed", "config": "{\"rank\": 4}", "summaryMetrics": "{\"train/loss\": 0.25}"},
            {"id": "ghi", "name": "three", "state": "running", "config": {}},
        ]  # fmt: skip
        lines = self.folder / "runs.jsonl"
        lines.write_text("\n".join(map(json.dumps, runs)))
        whole = self.folder / "runs.json"
        whole.write_text(json.dumps(runs))
        out, err = self.run_command("import", lines, code=1)
        self.assertIn("2 imported, 0 known already, 1 failed", out)
        self.assertIn("it is running", err)
        self.assertIn("0 imported, 2 known already, 1 failed", self.run_command("import", whole, code=1)[0])
        first, second = self.server.tasks[1]["fields"], self.server.tasks[2]["fields"]
        self.assertEqual(
            (first["learning_rate"], first["config_snapshot"], first["tags"]), (0.1, {"lr": 0.1}, {"a": "yes"})
        )
        self.assertEqual(first["import"], {
            "source": "wandb:abc", "status": "success", "started_at": "2026-05-01T10:00:00.000Z", "total_duration_sec": 12.5,
        })  # fmt: skip
        self.assertEqual(self.server.points(1, "loss"), {0: 0.5, 2: "NaN"})
        self.assertEqual(self.server.points(1, "a.b"), {2: 1})
        self.assertEqual(
            (second["lora_rank"], second["import"]["status"], second["import"]["final_loss"]), (4, "failed", 0.25)
        )

    def test_a_history_alone(self):
        rows = [{"_step": n, "train/loss": 1 / (n + 1), "_timestamp": 1746093600 + n} for n in range(2500)]
        (self.folder / "h.json").write_text(json.dumps(rows))
        (self.folder / "h.csv").write_text(
            "_step,_timestamp,train/loss\n"
            + "".join(f"{r['_step']},{r['_timestamp']},{r['train/loss']}\n" for r in rows)
        )
        self.assertIn("1 imported, 0 known already", self.run_command("import", self.folder / "h.csv")[0])
        # The same history is the same run, whatever it is written as.
        self.assertIn("0 imported, 1 known already", self.run_command("import", self.folder / "h.json")[0])
        points = self.server.points(1, "train/loss")
        self.assertEqual((len(points), points[2499]), (2500, 1 / 2500))
        self.assertEqual(len(self.server.tasks[1]["attempts"][1]["beats"]), 3)

    def test_a_curve_that_broke_off_goes_on(self):
        path = self.folder / "h.json"
        path.write_text(json.dumps([{"_step": n, "loss": 0.5} for n in range(3500)]))
        asked = []

        def fault(method, where, _body):
            if where.endswith("/logs"):
                asked.append(where)
                # The second part arrives and its answer does not; after that the ledger is away for good.
                return {2: "lose"}.get(len(asked)) or ("drop" if 2 < len(asked) < 9 else None)
            return None

        self.server.faults.append(fault)
        self.run_command("import", path, code=1, timeout=120)
        self.run_command("import", path)
        self.assertEqual(len(self.server.tasks), 1)
        self.assertEqual(sorted(self.server.points(1, "loss")), list(range(3500)))


class MetricsTest(TemporaryCase):
    def test_only_what_the_ledger_takes(self):
        from lora_ledger.imports.run import entries_of

        rows = {
            3: {"metrics": {'a"b\\c': 1, "x" * 200: math.inf}, "epoch": 0.5}, -1: {"metrics": {"a": 1}}, 1: {"metrics": {}},
            10**11: {"metrics": {"a": 1}},
        }  # fmt: skip
        self.assertEqual(
            list(entries_of(rows)), [{"step": 3, "epoch": 0.5, "metrics": {"a_b_c": 1, "x" * 128: "Infinity"}}]
        )

    def test_an_empty_folder_holds_no_runs(self):
        self.assertEqual((mlflow.runs(self.folder), wandb.runs(self.folder)), (([], []), ([], [])))
