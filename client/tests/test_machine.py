"""Figures of the machine: recorded outputs of the tools for GPUs, hostile ones, /proc and control groups, a full disk."""

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

from lora_ledger.core.journal import Upload
from lora_ledger.core.reading import output
from lora_ledger.follow import cards, gpu, gpu_amd, gpu_apple, gpu_ascend, gpu_nvidia, machine
from lora_ledger.recording import host, machine_watch
from lora_ledger.recording.disk_watch import DiskWatch
from lora_ledger.recording.machine_watch import MachineWatch
from lora_ledger.recording.points import MOST_FIGURES, MOST_SERIES, Points
from lora_ledger.recording.track import track
from tests.helpers import ROOT, ClientCase, TemporaryCase

DATA = Path(__file__).parent / "data" / "smi"
VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES",
)  # fmt: skip


def recorded(name):
    lines = (DATA / name).read_text("utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


def shown(found):
    """What is known of each card, as (number, name, memory, utilisation, memory used, watts, °C)."""
    names = ("index", "name", "memory_mb", "util", "mem_mb", "power_w", "temp_c")
    return [tuple(one[name] for name in names) for one in found]


class RecordedTest(TemporaryCase):
    def test_nvidia_smi(self):
        cases = {
            "nvidia-550.csv": [
                (0, "NVIDIA GeForce RTX 4090", 24564, 97, 20100, 391.52, 71),
                (1, "NVIDIA GeForce RTX 4090", 24564, None, 3, None, 34),
            ],
            "nvidia-535-mig.csv": [
                (0, "NVIDIA A100-SXM4-80GB", 81920, None, 36537, 87.2, 33),
                (1, "NVIDIA A100-SXM4-80GB", 81920, 12, 512, 61.02, 30),
            ],
            "nvidia-470-lost.csv": [
                (0, "Tesla V100-SXM2-32GB", 32510, None, None, None, 40),
                (2, "Tesla V100-SXM2-32GB", 32510, 88, 30011, 290.1, 66),
            ],
        }
        for name, expected in cases.items():
            with self.subTest(name):
                self.assertEqual(shown([one for one, _ in gpu_nvidia.parse(recorded(name))]), expected)

    def test_amd_smi(self):
        cases = {
            "amd-smi-23.json": [(0, "AMD GPU", 65520, 64, 2048, 171, 44)],
            "amd-smi-24.json": [
                (0, "AMD GPU", 196592, 87, 121344, 542, 71),
                (1, "AMD GPU", 196592, None, 284, None, 38),
            ],
            "amd-smi-26.json": [(0, "AMD GPU", 16368, 2, 14569, 34, 41)],
        }
        for name, expected in cases.items():
            with self.subTest(name):
                self.assertEqual(shown(gpu_amd.parse_metric(recorded(name))), expected)
        static = gpu_amd.parse_static(recorded("amd-smi-24-static.json"))
        self.assertEqual(static[1], ("AMD Instinct MI300X", 196592.0, "6.8.5"))

    def test_rocm_smi(self):
        mi250 = "AMD INSTINCT MI200 (MCM) OAM LC MBA HPE C2"
        cases = {
            "rocm-smi-2.9.json": [(0, "AMD GPU", None, 100, None, 222, 103)],
            "rocm-smi-5.json": [
                (0, mi250, 65520, 99, 40000, 328, 61),
                (1, mi250, 65520, 97, 10, None, 57),
            ],
            "rocm-smi-6.json": [
                (0, "Radeon RX 7900 XT", 20464, 37, 26.56640625, 22, 44),
                (1, "Phoenix3", None, 19, None, 7.222, 31),
            ],
        }
        for name, expected in cases.items():
            with self.subTest(name):
                self.assertEqual(shown(gpu_amd.parse_rocm(recorded(name))), expected)
        self.assertEqual(gpu_amd.parse_rocm(recorded("rocm-smi-5.json"))[0]["driver"], "5.18.13")

    def test_npu_smi(self):
        cases = {
            "npu-smi-1.9.txt": [
                (0, "Ascend 910A", 32768, 0, 0, 67.2, 30),
                (1, "Ascend 910A", 32768, 93, 29811, 163.8, 55),
            ],
            "npu-smi-22-310p.txt": [(0, "Ascend 310P3", 44280, 7, 1697, None, 41)],
            "npu-smi-25.txt": [
                (0, "Ascend 910B4-1", 65536, 88, 57784, 291.3, 53),
                (1, "Ascend 910B4-1", 65536, 0, 3197, 88.1, 32),
            ],
            "npu-smi-26-a3.txt": [
                (0, "Ascend910", 65536, 61, 15516, 178.6, 50),
                (1, "Ascend910", 65536, 60, 15320, None, 49),
                (2, "Ascend910", 65536, 0, 3419, 162.6, 34),
            ],
        }
        for name, expected in cases.items():
            with self.subTest(name):
                self.assertEqual(shown(gpu_ascend.parse_table(recorded(name))), expected)
        self.assertEqual(gpu_ascend.parse_table(recorded("npu-smi-25.txt"))[0]["driver"], "25.2.0")

    def test_ioreg(self):
        self.assertEqual(
            shown(gpu_apple.parse(recorded("ioreg-12.txt"))), [(0, "Apple GPU", None, 42, 325.2, None, None)]
        )

    def test_what_is_none_of_these_gives_no_cards_and_no_fault(self):
        draw = random.Random(16)
        outputs = [recorded(path.name) for path in sorted(DATA.glob("*.*")) if path.suffix != ".md"]
        outputs += [
            "",
            "\0" * 100,
            "No devices were found\n",
            "{",
            "[[[[",
            '{"gpu_data": 3}',
            '[{"gpu": {}}]',
            "[" * 5000,
        ]
        outputs += ['[{"gpu": 0, "usage": [1], "power": "x", "temperature": 7, "mem_usage": null}]', '{"card0": null}']
        outputs += ["| 1 2 | OK | |\n| 0 0 | 0000:01:00.0 | |\n", "| 9 | a:b | 1 / 2 |\n", "+-o \n+-o AGX\n"]
        parsers = (
            gpu_nvidia.parse, gpu_nvidia.parse_slices, gpu_amd.parse_metric, gpu_amd.parse_static, gpu_amd.parse_rocm,
            gpu_ascend.parse_table, gpu_ascend.parse_map, gpu_ascend.parse_usages, gpu_apple.parse,
        )  # fmt: skip
        for text in list(outputs):
            for _ in range(40):
                at, size = draw.randrange(len(text) + 1), draw.randrange(1, 30)
                outputs.append(
                    text[:at] + draw.choice(["", "\ufffd", "9" * 40, "|", ",", '"', "-1", "nan"]) + text[at + size :]
                )
        for text in outputs:
            for parse in parsers:
                found = parse(text)
                for one in found if isinstance(found, list) else ():
                    one = one[0] if isinstance(one, tuple) else one
                    for name in cards.LOADS:
                        self.assertTrue(one[name] is None or 0 <= one[name] < 1e16, (name, one))

    def test_numbers(self):
        for text, expected in (
            ("97", 97), (" 41 C", 41), ("22.5 W", 22.5), ("[N/A]", None), ("N/A (Secondary die)", None), ("-", None),
            ("-5", None), ("nan", None), ("1e400", 1), ("inf", None), ("[Unknown Error]", None), (True, None), ({}, None),
            (float("inf"), None), ("9" * 100, None),
        ):  # fmt: skip
            with self.subTest(text):
                self.assertEqual(cards.number(text), expected)


class ToolTest(TemporaryCase):
    """The tools as programs: found on the path, and behaving badly."""

    def setUp(self):
        super().setUp()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        clean = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        # No tool of this machine itself.
        patch = mock.patch.dict(os.environ, {**clean, "PATH": f"{self.bin}:/usr/bin:/bin"}, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def tool(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def tells(self, name, **outputs):
        """A tool that prints a recorded output where its arguments hold the words."""
        for file in outputs.values():
            (self.bin / file).write_text(recorded(file))
        parts = [f'*"{words.replace("_", " ")}"*) cat {self.bin / file};;' for words, file in outputs.items()]
        self.tool(name, f'case "$*" in {" ".join(parts)} *) exit 3;; esac')

    def test_the_gpus_that_cuda_leaves(self):
        self.tells("nvidia-smi", **{"query-gpu": "nvidia-550.csv"})
        for named, left in (
            (None, [0, 1]), ("0,1", [0, 1]), ("1", [1]), ("", []), ("-1", []), ("1,7,0", [1]), ("NoDevFiles", []),
            ("GPU-8932f937", [1]), ("GPU-8932f937-d72c-4106-9c12-20bd9faed9f6,0", [0, 1]), ("GPU-0000", []), ("01", []),
        ):  # fmt: skip
            with (
                self.subTest(named),
                mock.patch.dict(os.environ, {} if named is None else {"CUDA_VISIBLE_DEVICES": named}),
            ):
                self.assertEqual(list(gpu.read()), left)

    def test_a_part_of_a_gpu_shows_the_whole(self):
        self.tells("nvidia-smi", **{"query-gpu": "nvidia-535-mig.csv", "-L": "nvidia-535-mig-list.txt"})
        for named, left in (
            ("MIG-6abe9e2c-2ff8-5ba6-b8c1-9f2ab7ab1c00", [0]),
            ("MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/1/0", [1]),
            ("MIG-00000000-0000-0000-0000-000000000000", [0, 1]),
        ):
            with self.subTest(named), mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": named}):
                self.assertEqual(list(gpu.read()), left)

    def test_facts_at_registration_name_every_maker(self):
        self.tells("amd-smi", metric="amd-smi-24.json", static="amd-smi-24-static.json")
        facts = host.facts(["./train"], self.folder)
        self.assertEqual(facts["gpu_info"], "AMD Instinct MI300X 192GB x2")
        self.assertEqual(facts["node_info"]["driver"], "6.8.5")
        self.assertEqual(gpu.sample()["gpu.0.temp_c"], 71)
        with mock.patch.dict(os.environ, {"ROCR_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}):
            self.assertEqual(list(gpu.read()), [1])
        (self.bin / "amd-smi").unlink()
        self.tells("rocm-smi", json="rocm-smi-6.json")
        self.assertEqual(host.facts(["./train"], self.folder)["gpu_info"], "Radeon RX 7900 XT 20GB x1, Phoenix3 x1")
        (self.bin / "rocm-smi").unlink()
        self.tells("npu-smi", info="npu-smi-25.txt")
        self.assertEqual(host.facts(["./train"], self.folder)["gpu_info"], "Ascend 910B4-1 64GB x2")
        with mock.patch.dict(os.environ, {"ASCEND_RT_VISIBLE_DEVICES": "1"}):
            self.assertEqual(list(gpu.read()), [1])

    def test_an_older_amd_smi_that_refuses_options(self):
        (self.bin / "all").write_text(recorded("amd-smi-23.json"))
        self.tool("amd-smi", f'case "$*" in *--mem-usage*) exit 2;; *) cat {self.bin / "all"};; esac')
        self.assertEqual(gpu.sample()["gpu.0.util"], 64)

    def test_an_npu_smi_whose_table_has_become_another(self):
        (self.bin / "map").write_text(recorded("npu-smi-25-map.txt"))
        (self.bin / "usages").write_text(recorded("npu-smi-25-usages.txt"))
        self.tool(
            "npu-smi",
            f'case "$*" in "info -m") cat {self.bin / "map"};; *"usages -i 5") cat {self.bin / "usages"};; '
            "info) echo new;; *) exit 1;; esac",
        )
        self.assertEqual(gpu.read(), {1: {"util": 57.0, "mem_mb": 16384.0}})

    def test_tools_that_behave_badly(self):
        scripts = {
            "exit 1": "echo '0, a, 1, 1, 1, 1, 1, 1, GPU-1'; exit 1",
            "not UTF-8": r"printf '0, NVIDIA \377\376, 1, 1, 1, 1, 1, 1, GPU-1\n'",
            "10 MB": "head -c 10000000 /dev/zero | tr '\\0' x",
            "endless": "yes",
            "silent": "exec sleep 1000",
            "a child that holds the pipe": "sleep 1000",
            "closed and going on": "exec >&-; sleep 1000",
        }
        for name, script in scripts.items():
            self.tool("nvidia-smi", script)
            with self.subTest(name), mock.patch.object(cards, "TIMEOUT", 0.5):
                begun = time.monotonic()
                found = gpu_nvidia.cards()
                self.assertLess(time.monotonic() - begun, 4.0)
                self.assertEqual(len(found), 1 if name == "not UTF-8" else 0)
        # Nothing is left of them: neither processes nor zombies.
        deadline = time.monotonic() + 5
        while (left := self.children()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(left, [])

    def children(self):
        """Processes of this one, and those that its tools have started."""
        table = subprocess.run(["ps", "-eo", "pid,ppid,stat,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 3) for line in table.splitlines()[1:]]
        return [
            row for row in rows if (row[1] == str(os.getpid()) and "ps -eo" not in row[3]) or row[3] == "sleep 1000"
        ]

    def test_output_of_a_command_is_bounded(self):
        self.tool("loud", "head -c 2000000 /dev/zero | tr '\\0' x")
        self.assertIsNone(output([str(self.bin / "loud")], 5.0, 1_999_999))
        self.assertEqual(len(output([str(self.bin / "loud")], 5.0, 2_000_000)), 2_000_000)
        self.assertIsNone(output([str(self.bin / "missing")], 5.0))


class MeterTest(TemporaryCase):
    def test_a_slow_tool_rests_and_a_failing_one_ever_longer(self):
        now, calls, answers = [0.0], [], []

        def read():
            calls.append(now[0])
            took, found = answers.pop(0)
            now[0] += took
            return found

        meter = gpu.Meter(read, lambda: now[0])
        works = {0: {"util": 1.0}}
        answers[:] = [
            (0.1, works),
            (0.7, works),
            (10.0, works),
            (0.0, {}),
            (0.0, {}),
            (0.0, {}),
            (0.0, works),
            (0.0, works),
        ]
        while answers:
            metrics = meter.sample()
            self.assertIn(metrics, ({}, {"gpu.0.util": 1.0}))
            now[0] += 10.0
        gaps = [round(after - before) for before, after in zip(calls, calls[1:])]
        # A hundredth of the time at most, at most 5 minutes of rest; then 30, 60, 120 s after failures.
        self.assertEqual(gaps, [10, 71, 310, 30, 60, 120, 10])


class FiguresTest(TemporaryCase):
    def proc(self, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("~", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def base(self, busy=1000, idle=9000, received=0):
        self.proc(
            proc__stat=f"cpu  {2 * busy} 0 0 {2 * idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu1 {busy} 0 0 {idle} 0 0 0 0 0 0\n",
            proc__meminfo="MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    4194304 kB\n",
            proc__net__dev="Inter-|   Receive  |  Transmit\n face |bytes    packets\n    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
            f"  eth0: {received} 1 0 0 0 0 0 0 {received // 2} 1 0 0 0 0 0 0\ndocker0: {received * 9} 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n",
        )

    def sampled(self, change):
        now = [0.0]
        found = machine.Machine(lambda: now[0], self.folder)
        first = found.sample(self.folder, self.folder)
        self.assertFalse({"sys.cpu", "sys.net_in_mb_s"} & set(first))
        now[0] = 10.0
        change()
        return found.sample(self.folder / "not" / "there", self.folder)

    def test_control_groups_that_nobody_may_look_into(self):
        self.base()
        self.proc(proc__self__cgroup="0::/a\n4:cpu,cpuacct:/b\n")
        stat, closed = os.stat, str(self.folder / "sys" / "fs" / "cgroup")

        def refusing(path, *rest, **more):
            if str(path).startswith(closed):
                raise PermissionError(13, "Permission denied", str(path))
            return stat(path, *rest, **more)

        with mock.patch.object(os, "stat", refusing):
            figures = self.sampled(lambda: self.base(1750, 9250))
        self.assertEqual((figures["sys.cpu"], figures["sys.mem_mb"]), (75, 12288))

    def test_a_machine_without_limits(self):
        self.base()
        figures = self.sampled(lambda: self.base(1750, 9250, 50_000_000))
        self.assertEqual(figures["sys.cpu"], 75)
        self.assertEqual((figures["sys.mem_mb"], figures["sys.mem_total_mb"]), (12288, 16384))
        self.assertEqual((figures["sys.net_in_mb_s"], figures["sys.net_out_mb_s"]), (5, 2.5))
        self.assertGreater(figures["sys.disk_free_gb"], 0)
        self.assertNotIn("sys.spool_free_gb", figures)

    def test_a_container_of_version_2(self):
        self.base()
        group = "sys__fs__cgroup__docker__abc__"

        def used(seconds):
            self.proc(
                **{
                    "proc__self__cgroup": "0::/docker/abc\n",
                    "sys__fs__cgroup__cgroup~controllers": "cpu memory\n",
                    f"{group}cpu~max": "400000 100000\n",
                    f"{group}cpu~stat": f"usage_usec {int(seconds * 1e6)}\nuser_usec 1\n",
                    f"{group}memory~max": "max\n",
                    "sys__fs__cgroup__docker__memory~max": f"{8 << 30}\n",
                    "sys__fs__cgroup__docker__memory~current": f"{6 << 30}\n",
                    "sys__fs__cgroup__docker__memory~stat": f"anon 5\ninactive_file {1 << 30}\n",
                }
            )

        used(100)
        figures = self.sampled(lambda: used(130))
        # 30 s of processor in 10 s, of four that are allowed.
        self.assertEqual(figures["sys.cpu"], 75)
        self.assertEqual((figures["sys.mem_mb"], figures["sys.mem_total_mb"]), (5120, 8192))

    def test_a_container_of_version_1_that_sees_the_path_outside(self):
        self.base()

        def used(seconds):
            self.proc(
                **{
                    "proc__self__cgroup": "5:memory:/docker/f00\n4:cpu,cpuacct:/docker/f00\n",
                    "sys__fs__cgroup__cpu,cpuacct__cpu~cfs_quota_us": "200000\n",
                    "sys__fs__cgroup__cpu,cpuacct__cpu~cfs_period_us": "100000\n",
                    "sys__fs__cgroup__cpu,cpuacct__cpuacct~usage": f"{int(seconds * 1e9)}\n",
                    "sys__fs__cgroup__memory__memory~limit_in_bytes": f"{4 << 30}\n",
                    "sys__fs__cgroup__memory__memory~usage_in_bytes": f"{3 << 30}\n",
                    "sys__fs__cgroup__memory__memory~stat": f"total_inactive_file {2 << 30}\n",
                }
            )

        used(5)
        figures = self.sampled(lambda: used(15))
        self.assertEqual(figures["sys.cpu"], 50)
        self.assertEqual((figures["sys.mem_mb"], figures["sys.mem_total_mb"]), (1024, 4096))
        # Without a limit, version 1 shows a number near 2^63.
        self.proc(**{"sys__fs__cgroup__memory__memory~limit_in_bytes": "9223372036854771712\n"})
        self.assertEqual(machine.Machine(root=self.folder).sample("/", "/")["sys.mem_total_mb"], 16384)

    def test_nothing_and_garbage(self):
        self.assertEqual(set(machine.Machine(root=self.folder).sample("/", "/")), {"sys.disk_free_gb"})
        for text in ("", "\0\xff", "cpu\ncpu0 x\nMemTotal: many\n", "9" * 5000, "0::/../../etc\n", "a: 1 2 3\n"):
            self.proc(proc__stat=text, proc__meminfo=text, proc__self__cgroup=text, proc__net__dev=text)
            with self.subTest(text[:20]):
                self.sampled(lambda: None)

    def test_this_machine_takes_far_less_than_a_hundredth_of_a_core(self):
        found = machine.Machine()
        begun = time.process_time()
        for _ in range(20):
            found.sample(self.folder, self.folder)
        # At a heartbeat of 30 s a hundredth of a core is 300 ms.
        self.assertLess((time.process_time() - begun) / 20, 0.03)

    def test_figures_take_no_place_from_the_users_metrics(self):
        points = Points(None)
        figures = {f"gpu.{n}.{name}": 1.0 for n in range(100) for name in cards.LOADS}
        points.put(1, figures)
        points.put(1, {f"mine/{n}": 1.0 for n in range(MOST_SERIES + 10)})
        (entry,) = points.drain(final=True)
        self.assertEqual(sum(map(machine.is_system, entry["metrics"])), MOST_FIGURES)
        # `loss` has its place from the beginning.
        self.assertEqual(sum(not machine.is_system(name) for name in entry["metrics"]), MOST_SERIES - 1)

    def test_the_service_knows_the_same_figures(self):
        text = (ROOT / "src" / "shared" / "system-metrics.ts").read_text("utf-8")
        listed = re.search(r"gpuFigures = \[([^\]]*)\]", text)[1], re.search(r"machineFigures = \[([^\]]*)\]", text)[1]
        gpus, others = (re.findall(r'"([\w.]+)"', part) for part in listed)
        self.assertEqual(sorted(gpus), sorted(cards.LOADS))
        self.assertTrue(all(machine.is_system(name) for name in others), others)
        self.assertEqual(len(others), machine._SYSTEM.pattern.partition("sys")[2].count("|") + 1)
        for name in ("loss", "gpu.0.fan", "sys.", "sys.mine", "gpu.x.util", "gpu.0.util.x"):
            self.assertFalse(machine.is_system(name), name)


GB = 1000**3


class DiskTest(TemporaryCase):
    """A toy trainer that saves checkpoints on a disk whose room the test sets."""

    def setUp(self):
        super().setUp()
        self.now, self.room = 0.0, 100 * GB
        self.watch = DiskWatch(lambda _: (1, self.room), lambda: self.now)

    def save(self, size, name=None, **known):
        path = self.folder / (name or f"a-{known.get('step')}.safetensors")
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as file:
            file.truncate(size)
        self.room -= size
        self.watch.saved(Upload(str(path), path.name, **{"kind": "checkpoint", **known}))

    def after(self, seconds, writes=0):
        """The last of the looks of so many seconds, one every 30, while training writes some bytes a second."""
        found = None
        for _ in range(seconds // 30):
            self.now += 30
            self.room -= 30 * writes
            found = self.watch.look()
        return found

    def test_the_next_checkpoint_is_larger_than_what_is_left(self):
        self.room = 3 * GB
        self.assertIsNone(self.after(600))
        self.save(GB, step=100)
        self.assertIsNone(self.after(600))
        self.save(GB, step=200)
        # A single look may fall between the new checkpoint and the removal of an old one.
        self.assertIsNone(self.after(30))
        self.assertEqual(self.after(30), {"free_bytes": GB, "needed_bytes": int(1.2 * GB)})
        self.room = 2 * GB
        self.assertIsNone(self.after(30))

    def test_what_training_writes_counts_until_the_next_checkpoint(self):
        self.room = 10 * GB
        self.after(600)
        self.save(GB, step=100)
        # 10 MB a second are 6 GB until the next, and 1.2 GB for it: there is room.
        self.assertIsNone(self.after(300, writes=10_000_000))
        self.room = 10 * GB
        self.save(GB, step=200)
        self.assertIsNone(self.after(60, writes=30_000_000))
        found = self.after(60, writes=30_000_000)
        self.assertLess(found["free_bytes"], found["needed_bytes"])
        self.assertGreater(found["free_bytes"], 4 * GB)

    def test_files_of_one_checkpoint_add_up_and_its_folder_counts_whole(self):
        self.room = 5 * GB
        self.save(GB, step=100)
        self.save(GB, name="a-100-state.bin", step=100, kind="state")
        self.assertEqual(self.watch._largest, 2 * GB)
        folder = self.folder / "checkpoint-200"
        folder.mkdir()
        for name, size in (("optimizer.pt", 2 * GB), ("adapter_config.json", 10)):
            with open(folder / name, "wb") as file:
                file.truncate(size)
        self.save(GB, name="checkpoint-200/adapter_model.safetensors", step=200)
        self.assertEqual(self.watch._largest, 3 * GB + 10)

    def test_files_of_no_step_are_checkpoints_of_their_own(self):
        for n in range(30):
            self.save(GB, name=f"a{n}.bin")
        self.assertEqual(self.watch._largest, GB)

    def test_after_the_final_weights_nothing_is_to_come(self):
        self.room = 3 * GB
        self.save(GB, step=100)
        self.save(GB, step=None, kind="final")
        self.assertIsNone(self.after(120))

    def test_a_file_that_is_gone_and_a_disk_that_tells_nothing(self):
        self.watch.saved(Upload(str(self.folder / "gone"), "gone", "checkpoint", step=1))
        self.watch.saved(Upload(str(self.folder / "gone"), "gone", "sample", step=1))
        self.watch._free = lambda _: None
        self.assertIsNone(self.after(90))


class TrackedTest(ClientCase):
    """A training loop that saves checkpoints, recorded by `track()`, on a disk whose room the test sets."""

    def test_a_run_tells_its_figures_and_that_its_disk_fills_up(self):
        server = self.serve(interval=0.1)
        usage = shutil.disk_usage(self.folder)
        room = [3 * GB]
        disk = mock.patch.object(machine.shutil, "disk_usage", lambda _: usage._replace(free=room[0]))
        with (
            mock.patch.dict(os.environ, self.environment()),
            disk,
            mock.patch.object(machine_watch, "LEAST_SECONDS", 0.1),
        ):
            with mock.patch("lora_ledger.core.terminal._line") as line, track(task_name="toy") as run:
                for step in range(1, 4):
                    run.log(step=step, loss=1 / step)
                    path = self.folder / f"toy-{step}.safetensors"
                    path.write_bytes(b"\0" * 100)
                    with mock.patch("lora_ledger.recording.disk_watch._size_of", return_value=(str(path), GB)):
                        run.save(path, kind="checkpoint", step=step)
                    room[0] -= GB
                    seen = self.until(lambda: self.progress(server), step, room[0])
        self.assertEqual(seen["disk"], {"free_bytes": 0, "needed_bytes": int(1.2 * GB)})
        self.assertEqual(sum("make room" in str(call[0][0]) for call in line.call_args_list), 1)
        (task,) = server.tasks
        points = server.points(task, "sys.disk_free_gb")
        self.assertEqual(min(points.values()), 0)
        self.assertTrue(server.points(task, "sys.mem_total_mb") or sys.platform != "linux")

    @staticmethod
    def progress(server):
        begun = [number for number, task in server.tasks.items() if task["attempts"]]
        return server.progress(begun[0]) if begun else {}

    def until(self, progress, step, room):
        """The progress that a heartbeat told once it is of the step and of the room that is left: of none while there
        is enough."""
        deadline = time.monotonic() + 60
        seen = {}
        while time.monotonic() < deadline:
            seen = progress() or {}
            low = {"free_bytes": room, "needed_bytes": int(1.2 * GB)} if room < 1.2 * GB else None
            if seen.get("step") == step and seen.get("disk") == low:
                return seen
            time.sleep(0.02)
        self.fail(f"at step {step}: {seen}")


class FaultTest(ClientCase):
    """A machine that cannot be watched is recorded all the same."""

    WHY = "the figures of the machine are not recorded, or not all: can't start new thread"

    def test_of_track(self):
        server = self.serve()
        for name in ("Machine", "threading.Thread"):
            fault = mock.patch(f"{machine_watch.__name__}.{name}", side_effect=RuntimeError("can't start new thread"))
            with mock.patch.dict(os.environ, self.environment()), mock.patch("lora_ledger.core.terminal._line") as line:
                session = track(task_name=name)
                with mock.patch.object(machine_watch, "threading", mock.Mock(wraps=threading)), fault, session as run:
                    run.log(step=1, loss=0.5)
            self.assertIn(self.WHY, [str(call[0][0]) for call in line.call_args_list])
            (number,) = [n for n, task in server.tasks.items() if task["fields"]["task_name"] == name]
            self.assertEqual(server.points(number, "loss"), {1: 0.5})
            self.assertEqual(server.tasks[number]["finish"]["status"], "success")

    def test_of_a_run(self):
        server = self.serve()
        client = (
            "import sys\nfrom unittest import mock\nfrom lora_ledger import cli\n"
            "from lora_ledger.recording.machine_watch import MachineWatch\n"
            "with mock.patch.object(MachineWatch, '{name}', side_effect=RuntimeError(\"can't start new thread\")):\n"
            "    sys.exit(cli.main())\n"
        )
        for number, name in enumerate(("__init__", "start"), 1):
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    client.format(name=name),
                    "run",
                    "--",
                    *self.script("print('step 1/2 loss: 0.5')"),
                ],
                cwd=self.folder,
                env=self.environment(),
                capture_output=True,
                timeout=150,
            )
            err = done.stderr.decode("utf-8", "replace")
            self.assertEqual((done.returncode, server.tasks[number]["finish"]["status"]), (0, "success"), err)
            self.assertIn(self.WHY, err)
            self.assertEqual(server.points(number, "loss"), {1: 0.5})


class WatchTest(TemporaryCase):
    def test_the_heartbeat_tells_of_the_disk_and_the_person_once(self):
        recorder = mock.Mock(progress={"disk": None, "step": 7}, disk=mock.Mock(folder="/out"))
        recorder.settings.spool = self.folder
        recorder.disk.look.return_value = {"free_bytes": 500_000_000, "needed_bytes": 1_200_000_000}
        watch = MachineWatch(recorder, lambda: 7, lambda: None)
        with mock.patch("lora_ledger.core.terminal._line") as line:
            watch._sample_machine()
            watch._sample_machine()
        self.assertEqual(recorder.progress["disk"]["free_bytes"], 500_000_000)
        (said,) = [str(call[0][0]) for call in line.call_args_list]
        self.assertIn("the disk of /out has 500.0 MB left, and the next checkpoint needs about 1.2 GB", said)
        self.assertEqual(recorder.points.put.call_args[0][0], 7)

    def test_no_figures_before_the_first_step(self):
        recorder = mock.Mock(progress={"disk": None}, disk=mock.Mock(folder=None))
        recorder.settings.spool = self.folder
        recorder.disk.look.return_value = None
        MachineWatch(recorder, lambda: 0, lambda: None)._sample_machine()
        recorder.points.put.assert_not_called()

    def test_another_programs_figures_fill_what_is_not_measured_here(self):
        recorder = mock.Mock(progress={"disk": None}, disk=mock.Mock(folder=None))
        recorder.settings.spool = self.folder
        recorder.disk.look.return_value = None
        told = {"sys.cpu": 5.0, "sys.mem_mb": 100.0, "gpu.0.util": 50.0}
        for others, gpus, expected in (
            ({"sys.cpu": 1.0}, {}, {"sys.mem_mb": 100.0, "gpu.0.util": 50.0}),
            ({"sys.cpu": 1.0, "sys.mem_mb": 2.0}, {"gpu.0.temp_c": 40.0}, {}),
            ({}, {}, told),
        ):
            watch = MachineWatch(recorder, lambda: 7, lambda: None)
            # Before the first samples nobody knows.
            self.assertEqual(watch.not_measured(told), {})
            watch._machine, watch._meter = mock.Mock(), mock.Mock()
            watch._machine.sample.return_value, watch._meter.sample.return_value = others, gpus
            watch._sample_machine()
            watch._sample_gpus()
            self.assertEqual(watch.not_measured(told), expected)

    def test_a_fault_ends_no_sampling_and_stop_does(self):
        recorder = mock.Mock()
        recorder.sender.interval = 0.0
        watch = MachineWatch(recorder, lambda: 1, lambda: None)
        calls = []

        def work():
            calls.append(1)
            if len(calls) == 3:
                watch.stop()
            raise RuntimeError("x")

        with mock.patch.object(machine_watch, "LEAST_SECONDS", 0.01):
            watch._repeat(work)
        self.assertEqual(len(calls), 3)


if sys.platform == "win32":
    del ToolTest
