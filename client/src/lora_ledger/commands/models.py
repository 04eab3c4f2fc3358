"""`lora-ledger pull model` and `push`: a model version's file, with what the person's tools show beside it."""

import importlib.util
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import quote

from ..core import terminal
from ..core.uploads import sha256_of
from . import sidecars
from ..core.api import Api, Plain, put
from .pull import fetch, fetch_link, local_path


def split(text):
    """(name, alias or number) of NAME:REF; without REF it is production. Raises Plain."""
    name, _, ref = text.partition(":")
    if not name or "/" in text or (":" in text and not ref):
        raise Plain(f"{text!r} is no model; write NAME:ALIAS or NAME:NUMBER, such as anime-style:production")
    return name, ref or "production"


class Version:
    """A version of a model, as the ledger knows it."""

    def __init__(self, api, text):
        name, self.ref = split(text)
        self.api = api
        self.about = api.get(f"/api/models/{quote(name)}/{quote(self.ref)}")
        self.name, self.number = self.about["model"], self.about["version"]
        # By its number from here on: an alias may move, or go, while the file comes.
        self.path = f"/api/models/{quote(self.name)}/versions/{self.number}"
        self.download = f"/api/models/{quote(self.name)}/{self.number}/download"

    def filename(self):
        """The name on disk. An alias has one name for all versions, so that prompts that use it stay as they are."""
        ending = Path(self.about["filename"]).suffix.lower()
        if not re.fullmatch(r"\.[a-z0-9]{1,12}", ending):
            ending = ".bin"
        return f"{self.name}-v{self.number}{ending}" if self.ref.isdigit() else f"{self.name}{ending}"

    def card(self):
        """Its model card for a folder that holds the images, with trigger words and the images' links."""
        return self.api.get(f"{self.path}/card", images="relative", format="json")


def pull_model(settings, options):
    """Brings a version's file and its sidecars into a folder, or leaves alone what is there already."""
    api = Api(settings)
    if not options.model:
        raise Plain("name the model: lora-ledger pull model NAME:ALIAS")
    if options.kind:
        raise Plain("--kind is for the files of a run; a model version is one file")
    version = Version(api, options.model)
    target = local_path(Path(options.output or ".").expanduser(), version.filename())
    try:
        done = fetch(api, version.about, target, link=version.download, replace=_ours(target))
        put(f"{target}: {version.name} {version.number}, {done}")
        if not options.no_sidecars:
            for path in sidecars.write(version, target):
                put(f"{path}: written")
    except OSError as error:
        raise Plain(f"{target} cannot be written ({error.strerror or error})") from error
    return 0


def _ours(target):
    """Whether what is there is a version that was pulled before and that nobody changed since."""
    pulled = sidecars.pulled_sha256(target)
    return bool(pulled) and target.is_file() and sha256_of(target) == pulled


def push(settings, options):
    """Publishes an approved version in a repository of the Hugging Face Hub: file, card and images."""
    api = Api(settings)
    version = Version(api, options.model)
    state = version.about["state"]
    if state not in ("approved", "released"):
        raise Plain(f"version {version.number} of {version.name} is {state}: only approved versions are published")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise Plain(
            "publishing needs the hub's own client: pip install huggingface_hub, then `hf auth login` or HF_TOKEN"
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repo, re.ASCII):
        raise Plain(f"{options.repo!r} is no repository; write USER/NAME")
    with tempfile.TemporaryDirectory(prefix="lora-ledger-push-") as home:
        folder = Path(home)
        fetch(api, version.about, local_path(folder, version.filename()), link=version.download)
        card = version.card()
        (folder / "README.md").write_text(card["card"], "utf-8")
        for sample in card["samples"]:
            fetch_link(sample["url"], sample, local_path(folder, sample["file"]))
        url = _upload(folder, options, f"{version.name} {version.number} (sha256 {version.about['sha256'][:12]})")
    put(f"{version.name} {version.number} is published: {url}")
    return 0


def _upload(folder, options, message):
    """Sends the folder in one commit; the repository's address. Raises Plain."""
    # The hub's own progress bars and hints are its own; our key is nothing it should see.
    os.environ.pop("LEDGER_KEY", None)
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        repo = hub.create_repo(options.repo, private=options.private or None, exist_ok=True)
        hub.upload_folder(repo_id=options.repo, folder_path=folder, commit_message=options.message or message)
    except Exception as error:
        # The hub's client raises a dozen kinds of its own and of its libraries'.
        terminal.trouble(error)
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise Plain(f"the hub did not take it: {reason}") from error
    return str(repo)
