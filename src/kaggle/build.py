"""Writes a run as folders to upload: a flat dataset, and three kernels.

    logs/<run>/kaggle/
        dataset/   wheels, model.tflite, model_card.md, dataset-metadata.json
        submit/    submit.ipynb, kernel-metadata.json: checks, scores and packs the model
        train/     train.ipynb, kernel-metadata.json: runs the numbered notebooks
        starter/   the same on the sample, without the competition's data or a GPU

- The dataset is flat, because `kaggle datasets create` leaves sub-folders out.
- Metadata are written here and never taken from `kaggle kernels pull`, whose sources have prefixes
  that `push` refuses. A kernel's title must be its slug with spaces for dashes, or Kaggle makes a
  second kernel.
"""

import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.common.errors import InputError
from src.common.files import write_json, write_text
from src.kaggle.download import COMPETITION, RULES
from src.kaggle.wheels import BROUGHT, installed_wheel, project_wheel
from src.recipes import choose, profiles
from src.recipes.checks import overridden
from src.runs import Run

CHECKOUT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).with_name("templates")
TAG = "parameters"
FILES = ("model.tflite", "model_card.md")  # the run's files that the dataset has
TWO_GPUS = "NvidiaTeslaT4"  # Kaggle's name for T4 x 2, on which notebook 02 starts torchrun
LONGEST = 50  # characters of a title or slug that Kaggle allows


@dataclass(frozen=True)
class Upload:
    """The folders of one run; `str` of it gives the commands that upload them."""

    dataset: Path
    submit: Path
    train: Path
    starter: Path
    user: str
    name: str  # the dataset's slug, with which the kernels' slugs begin
    submits: bool  # False for a run on clips that are not the competition's

    def __str__(self) -> str:
        paths = (self.dataset, self.submit, self.train, self.starter)
        dataset, submit, train, starter = (shlex.quote(str(path)) for path in paths)
        kernel = f"{self.user}/{self.name}-submit"
        if self.submits:
            submitting = (
                f"kaggle kernels push -p {submit}   # prints the kernel's version, N\n"
                f"kaggle kernels status {kernel}   # wait for: complete\n"
                f"kaggle competitions submit {COMPETITION} -k {kernel} -f submission.zip -v N "
                '-m "..."'
            )
        else:
            submitting = (
                "nothing to submit: the run was not trained on the competition's clips, so its "
                "answers are not for the competition's signs; train on those clips first"
            )
        return f"""once, in the browser: accept the rules, {RULES}
kaggle datasets create -p {dataset}
  later: kaggle datasets version -p {dataset} -m "what is new"
kaggle datasets status {self.user}/{self.name}   # wait for: ready
{submitting}
to train there: kaggle kernels push -p {train}
to try it there, on the sample: kaggle kernels push -p {starter}"""


def build(
    run: Run, user: str, profile: str = "full", recipes: str = "", overrides: str = ""
) -> Upload:
    """Write a run's folders in place of earlier ones; for the arguments see __main__.py.

    Raises:
        InputError: the run is not finished, Kaggle does not accept a name, or a recipe or one of
            its values does not exist.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", user):
        raise InputError(
            f"--user: expected the name in https://www.kaggle.com/<name>, small letters, digits "
            f"and dashes; found {user!r}"
        )
    profiles.profile(profile)
    # With all its recipes named, a run of the pupil would ship every teacher, too.
    recipes = recipes or run.about.asked or ",".join(run.about.recipes)
    overridden(choose(recipes, profile), overrides)  # fail here, not hours later on Kaggle
    for name in FILES:
        if not (run.folder / name).is_file():
            raise InputError(f"{run.folder / name}: expected a file that 04 writes; run 04 first")
    folder, name = run.folder / "kaggle", slug(run.folder)
    shutil.rmtree(folder, ignore_errors=True)
    kinds = ("dataset", "submit", "train", "starter")
    upload = Upload(*(folder / kind for kind in kinds), user, name, _is_of_the_competition(run))
    _dataset(run, upload)
    parameters = {"PROFILE": profile, "RECIPES": recipes, "OVERRIDES": overrides}
    _kernel(upload.submit, "submit", f"{user}/{name}", {})
    _kernel(upload.train, "train", f"{user}/{name}", parameters, {"machine_shape": TWO_GPUS})
    sample = {"PROFILE": "sample", "RECIPES": recipes}
    _kernel(upload.starter, "train", f"{user}/{name}", sample, {"competition_sources": []})
    return upload


def slug(folder: Path) -> str:
    """The name of a run's dataset, in the form that Kaggle uses in addresses.

    Raises:
        InputError: the folder's name adds nothing to the slug, or makes it too long.
    """
    made = re.sub(r"[^a-z0-9]+", "-", f"{COMPETITION}-{folder.name}".lower()).strip("-")
    longest = LONGEST - len("-starter")
    # Runs without a letter or digit would all share one dataset, named like the competition.
    if made == COMPETITION or len(made) > longest:
        raise InputError(
            f"{folder}: expected a name with a letter from a to z or a digit, whose slug has at "
            f"most {longest} characters, found {made!r}; give the run's folder another name"
        )
    return made


def _is_of_the_competition(run: Run) -> bool:
    """False if report.json says that the clips are not the competition's; older runs do not say."""
    try:
        facts = json.loads((run.folder / "report.json").read_text())
    except (OSError, ValueError):
        return True
    return facts.get("origin", "competition") == "competition"


def _dataset(run: Run, upload: Upload) -> None:
    upload.dataset.mkdir(parents=True)
    project_wheel(CHECKOUT, upload.dataset)
    for name in BROUGHT:
        installed_wheel(name, upload.dataset)
    for name in FILES:
        shutil.copyfile(run.folder / name, upload.dataset / name)
    values = {
        "title": upload.name.replace("-", " "),
        "id": f"{upload.user}/{upload.name}",
        "licenses": [{"name": "other"}],  # the card names those of the clips and of the code
        "description": (run.folder / "model_card.md").read_text(),
    }
    write_json(upload.dataset / "dataset-metadata.json", values)


def _kernel(
    folder: Path,
    template: str,
    dataset: str,
    parameters: Mapping[str, str],
    metadata: Mapping[str, Any] = {},
) -> None:
    """Write a kernel: its notebook with these parameters, and its metadata."""
    kind = folder.name
    write_text(folder / f"{kind}.ipynb", _notebook(TEMPLATES / f"{template}.ipynb", parameters))
    values = {
        "id": f"{dataset}-{kind}",
        "title": f"{dataset.partition('/')[2]}-{kind}".replace("-", " "),
        "code_file": f"{kind}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": "machine_shape" in metadata,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [dataset],
        "competition_sources": [COMPETITION],
        "kernel_sources": [],
        "model_sources": [],
        # Later versions run in the image of the first one, not in whatever is new that day.
        "docker_image_pinning_type": "original",
    }
    write_json(folder / "kernel-metadata.json", values | metadata)


def _notebook(path: Path, parameters: Mapping[str, str]) -> str:
    """The text of a notebook, with these values in its parameters cell."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = (c for c in notebook["cells"] if TAG in c["metadata"].get("tags", ()))
    lines = "".join(cell["source"]).splitlines()
    for name, value in parameters.items():
        (number,) = (i for i, line in enumerate(lines) if line.startswith(f"{name}: "))
        before, _, comment = lines[number].partition("  #")
        declared = before.partition(" = ")[0]
        lines[number] = f"{declared} = {value!r}" + (f"  #{comment}" if comment else "")
    cell["source"] = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
