"""The agent's own parts: the owner's command template, times, and what an earlier attempt left to go on from."""

import unittest

from lora_ledger.commands.agent import seconds_of, slots_of, why_idle
from lora_ledger.core.api import Plain
from lora_ledger.commands.prepare import KINDS, newest
from lora_ledger.commands.template import Template

TRAIN = "accelerate launch train_network.py --config_file {config} --save_state --resume {state}"


class TemplateTest(unittest.TestCase):
    def test_one_value_is_one_word(self):
        words = Template("python3 'my trainer.py' --config={config} --log {work}/log").fill(
            {"config": "/tmp/a b; rm -rf ~/$(x).toml", "work": "/w"}
        )
        self.assertEqual(
            words, ["python3", "my trainer.py", "--config=/tmp/a b; rm -rf ~/$(x).toml", "--log", "/w/log"]
        )

    def test_an_option_without_a_value_is_left_out(self):
        template = Template(TRAIN)
        begin = ["accelerate", "launch", "train_network.py", "--config_file", "c.toml", "--save_state"]
        self.assertEqual(template.fill({"config": "c.toml", "state": None}), begin)
        self.assertEqual(template.fill({"config": "c.toml", "state": "s"}), [*begin, "--resume", "s"])
        self.assertEqual(template.earlier, ["state"])

    def test_a_word_of_its_own_goes_alone(self):
        template = Template("llamafactory-cli train {config} resume_from_checkpoint={resume}")
        self.assertEqual(template.fill({"config": "c", "resume": None}), ["llamafactory-cli", "train", "c"])

    def test_only_an_option_right_before_goes_too(self):
        self.assertEqual(
            Template("train {config} --flag=1 {resume}").fill({"config": "c", "resume": None}),
            ["train", "c", "--flag=1"],
        )

    def test_refusals_say_what_to_do(self):
        for text, said in (
            ("train", "{config}"),
            ("train {config} {name}", "no placeholder"),
            ("{config}", "begin with the program"),
            ("train '{config}", "quotes"),
            ("", "empty"),
        ):
            with self.assertRaises(Plain) as caught:
                Template(text)
            self.assertIn(said, str(caught.exception))
            self.assertEqual(caught.exception.code, 2)


class OptionsTest(unittest.TestCase):
    def test_times(self):
        self.assertEqual([seconds_of(t) for t in ("90", "90s", "1.5m", "2h")], [90, 90, 90, 7200])
        with self.assertRaises(ValueError):
            seconds_of("soon")

    def test_slots(self):
        self.assertEqual(slots_of(None), [None])
        self.assertEqual(slots_of("0,2,0"), [0, 2])
        with self.assertRaises(Plain):
            slots_of("first")


class IdleTest(unittest.TestCase):
    def test_says_whose_runs_are_pulled_and_how_to_pull_everyones(self):
        none = {"ready": 0, "need_memory": 0, "need_labels": 0}
        own = why_idle({**none, "runs": "own"})
        self.assertIn("none of your own runs", own)
        self.assertIn("lora-ledger enrol --shared", own)
        # A box that an admin shares, and a ledger that does not say.
        for waiting in ({**none, "runs": "all"}, none, {}):
            self.assertEqual(why_idle(waiting), "nothing in the queue is ready")

    def test_says_what_does_not_fit(self):
        waiting = {"ready": 3, "need_memory": 1, "need_labels": 2, "runs": "own"}
        self.assertEqual(
            why_idle(waiting),
            "of 3 ready runs none fits this box: 1 ask for more GPU memory, 2 ask for labels that this agent lacks",
        )


def weight(number, attempt, kind, filename, **more):
    return {"id": number, "attempt": attempt, "kind": kind, "filename": filename, **more}


class EarlierTest(unittest.TestCase):
    def test_the_newest_state_with_its_whole_folder(self):
        old = [
            weight(n, 1, "state", f"aki-000001-state/{name}", epoch=1, group="aki-000001-state")
            for n, name in enumerate("ab")
        ]
        new = [
            weight(n + 5, 1, "state", f"aki-000002-state/{name}", epoch=2, group="aki-000002-state")
            for n, name in enumerate("ab")
        ]
        console = weight(9, 1, "state", "console.log.gz", group="console")
        checkpoint = weight(10, 1, "checkpoint", "aki-000003.safetensors", epoch=3)
        found, step = newest([*old, *new, console, checkpoint], 2, KINDS["resume"])
        self.assertEqual(found, new)
        self.assertIsNone(step)

    def test_a_checkpoint_where_there_is_no_state(self):
        early = weight(1, 1, "checkpoint", "aki-000001.safetensors", epoch=1, step=10)
        late = weight(2, 2, "checkpoint", "aki-000002.safetensors", epoch=2, step=20)
        console = weight(3, 2, "state", "console.log.gz", group="console")
        self.assertEqual(newest([late, early, console], 3, KINDS["resume"]), ([late], 20))
        self.assertEqual(newest([late, early, console], 3, KINDS["state"]), ([], None))

    def test_what_this_very_attempt_has_is_no_earlier_one(self):
        self.assertEqual(newest([weight(1, 2, "checkpoint", "a.safetensors")], 2, KINDS["resume"]), ([], None))

    def test_a_checkpoint_folder_is_fetched_whole(self):
        folder = [
            weight(1, 1, "checkpoint", "checkpoint-50/adapter_model.safetensors", step=50, group="checkpoint-50"),
            weight(2, 1, "config", "checkpoint-50/adapter_config.json", step=50, group="checkpoint-50"),
            weight(3, 1, "state", "checkpoint-50/optimizer.pt", step=50, group="checkpoint-50"),
        ]
        self.assertEqual(newest(folder, 2, KINDS["resume"]), (folder, 50))


if __name__ == "__main__":
    unittest.main()
