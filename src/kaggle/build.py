"""A run as folders to upload: a flat dataset, a kernel that submits, a kernel that trains.

    logs/<run>/kaggle/
        dataset/   wheels, model.tflite, model_card.md, dataset-metadata.json
        submit/    submit.ipynb, kernel-metadata.json: scores, checks, writes submission.zip
        train/     train.ipynb, kernel-metadata.json: runs the numbered notebooks there

- The dataset is flat, because `kaggle datasets create` leaves sub-folders out.
- Metadata are made here and never taken from `kaggle kernels pull`, whose sources have prefixes
  that `push` refuses. A kernel's title is its slug in other letters, or Kaggle makes a second one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.errors import InputError
from src.common.files import write_json, write_text
from src.kaggle.wheels import BROUGHT, installed_wheel, project_wheel
from src.recipes import profiles
from src.runs import Run

COMPETITION = "asl-signs"
CHECKOUT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).with_name("templates")
TAG = "parameters"
LONGEST = 50  # characters of a title or slug


@dataclass(frozen=True)
class Upload:
    """The folders of one run.

    Args:
        dataset: to `kaggle datasets create`.
        submit: to `kaggle kernels push`.
        train: the same.
        user: whose they are.
        name: what their slugs begin with.
    """

    dataset: Path
    submit: Path
    train: Path
    user: str
    name: str

    def __str__(self) -> str:
        slug = f"{self.user}/{self.name}"
        return "\n".join(
            [
                "once, in the browser: accept the rules, "
                f"https://www.kaggle.com/competitions/{COMPETITION}/rules",
                f"kaggle datasets create -p {self.dataset}",
                f'  later: kaggle datasets version -p {self.dataset} -m "what is new"',
                f"kaggle datasets status {slug}   # wait for: ready",
                f"kaggle kernels push -p {self.submit}",
                f"kaggle kernels status {slug}-submit   # wait for: complete",
                f"kaggle competitions submit {COMPETITION} -k {slug}-submit -f submission.zip "
                '-v 1 -m "..."',
                f"to train there: kaggle kernels push -p {self.train}",
            ]
        )


def build(
    run: Run, user: str, profile: str = "full", recipes: str = "", overrides: str = ""
) -> Upload:
    """Write the folders of a run, anew.

    Args:
        run: with model.tflite and model_card.md.
        user: the name in https://www.kaggle.com/<user>.
        profile: of the kernel that trains.
        recipes: that it trains; empty: the run's.
        overrides: of their values.

    Raises:
        InputError: the run is not finished, or a name is not one that Kaggle takes.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", user):
        raise InputError(
            f"--user: expected the name in https://www.kaggle.com/<name>, small letters, digits "
            f"and dashes; found {user!r}"
        )
    profiles.profile(profile)
    for name in ("model.tflite", "model_card.md"):
        if not (run.folder / name).is_file():
            raise InputError(f"{run.folder / name}: expected what 04 writes; run 04 first")
    folder, name = run.folder / "kaggle", slug(f"asl-signs-{run.folder.name}")
    shutil.rmtree(folder, ignore_errors=True)
    upload = Upload(folder / "dataset", folder / "submit", folder / "train", user, name)
    _dataset(run, upload)
    source = f"{user}/{name}"
    _kernel(upload.submit, source, {}, gpu=False)
    given = {
        "PROFILE": profile,
        "RECIPES": recipes or ",".join(run.about.recipes),
        "OVERRIDES": overrides,
    }
    _kernel(upload.train, source, given, gpu=True)
    return upload


def slug(text: str) -> str:
    """Text as Kaggle writes it into addresses.

    Raises:
        InputError: nothing of it can stay, or it is too long.
    """
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    longest = LONGEST - len("-submit")
    if not 6 <= len(made) <= longest:
        raise InputError(
            f"{text!r}: expected a name that makes a slug of 6 to {longest} letters, digits and "
            f"dashes, found {made!r}; name the run's folder otherwise"
        )
    return made


def _dataset(run: Run, upload: Upload) -> None:
    upload.dataset.mkdir(parents=True)
    project_wheel(CHECKOUT, upload.dataset)
    for name in BROUGHT:
        installed_wheel(name, upload.dataset)
    for name in ("model.tflite", "model_card.md"):
        shutil.copyfile(run.folder / name, upload.dataset / name)
    values = {
        "title": upload.name.replace("-", " "),
        "id": f"{upload.user}/{upload.name}",
        "licenses": [{"name": "other"}],  # in the card: of the clips, and of the code
        "description": (run.folder / "model_card.md").read_text(),
    }
    write_json(upload.dataset / "dataset-metadata.json", values)


def _kernel(folder: Path, dataset: str, given: Mapping[str, str], gpu: bool) -> None:
    """Write a kernel: the notebook of that name with these parameters, and its metadata."""
    kind = folder.name
    write_text(folder / f"{kind}.ipynb", _notebook(TEMPLATES / f"{kind}.ipynb", given))
    values = {
        "id": f"{dataset}-{kind}",
        "title": f"{dataset.partition('/')[2]}-{kind}".replace("-", " "),
        "code_file": f"{kind}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [dataset],
        "competition_sources": [COMPETITION],
        "kernel_sources": [],
        "model_sources": [],
    }
    if gpu:
        values["machine_shape"] = "NvidiaTeslaT4"
    write_json(folder / "kernel-metadata.json", values)


def _notebook(path: Path, given: Mapping[str, str]) -> str:
    """A notebook's text with other values in its cell of parameters."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = (c for c in notebook["cells"] if TAG in c["metadata"].get("tags", ()))
    lines = "".join(cell["source"]).splitlines()
    for name, value in given.items():
        (number,) = (i for i, line in enumerate(lines) if line.startswith(f"{name}: "))
        before, _, comment = lines[number].partition("  #")
        declared = before.partition(" = ")[0]
        lines[number] = f"{declared} = {value!r}" + (f"  #{comment}" if comment else "")
    cell["source"] = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
