"""Train every recipe of a run on each of its folds: one after the other, or several side by side.

On a CPU a small network gains little from a second core. So trainings that need nothing from each
other share the cores there: each is a process, and what it says is printed here.
"""

import io
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from src.common.errors import InputError
from src.common.files import locked
from src.common.news import say
from src.common.paths import anchored
from src.common.processes import end_with_parent
from src.dataset.folds import Fold
from src.runs import Run
from src.training.distributed import Processes, device_named
from src.training.loop import Settings
from src.training.torchrun import torchrun
from src.training.train import train

Job = tuple[str, Fold]  # a recipe's name, and the fold that is held out
LOOK = 0.2  # seconds between two looks at what the processes have said


def train_all(
    run: Run,
    settings: Settings,
    device: str,
    processes: int = 0,
    retrain: bool = False,
    at_once: int = 1,
) -> list[Path]:
    """Train every recipe of a run on each of its folds; returns the folders.

    Each training has this many processes, started by torchrun if several; 0 = one per GPU.
    `at_once` trainings run side by side, if they have one process each; 0 = as many as there are
    cores, if they are small and on a CPU.
    """
    jobs = [*product(run.about.recipes, run.about.folds)]
    processes = processes or (1 if device == "cpu" else max(1, torch.cuda.device_count()))
    ready = _ready(run, [job for job in jobs if not run.is_trained(*job)])
    at_once = min(at_once or _fitting(run, device), len(ready))
    if processes == 1 and at_once > 1:
        _side_by_side(run, [*jobs], at_once, settings, device, retrain)
    else:
        for job in jobs:
            if _is_trained(run, job):
                continue
            if processes > 1:
                torchrun(run.folder, *job, settings, device, processes, retrain)
            else:
                _train(run, job, settings, device, retrain)
    return [run.training_folder(*job) for job in jobs]


def _fitting(run: Run, device: str) -> int:
    """How many trainings may run side by side: published sizes need the memory for themselves."""
    small = run.about.profile != "full" and device_named(device) == "cpu"
    return torch.get_num_threads() if small else 1


def _is_trained(run: Run, job: Job) -> bool:
    """True, and said, if there is nothing to do; settings such as PRECISION do not count."""
    if not run.is_trained(*job):
        return False
    folder = run.training_folder(*job)
    (folder / "last.pt").unlink(missing_ok=True)  # left by a kill
    say(f"{folder}: already trained")
    return True


def _train(run: Run, job: Job, settings: Settings, device: str, retrain: bool) -> None:
    with locked(run.training_folder(*job), f"trains {job[0]}"):
        train(run, *job, settings, Processes.start(device), retrain)


# --- side by side -------------------------------------------------------------------------------


def _ready(run: Run, unfinished: list[Job]) -> list[Job]:
    """The trainings that neither learn from an unfinished one nor start from its weights."""

    def waits(name: str, fold: Fold) -> bool:
        recipe = run.recipe(name)
        for other in (recipe.start, *recipe.distil.teachers):
            in_this_run = anchored(other).parent.resolve() == run.folder.resolve()  # by its path
            if (Path(other).name if in_this_run else other, fold) in unfinished:
                return True
        return False

    return [job for job in unfinished if not waits(*job)]


def _side_by_side(
    run: Run, waiting: list[Job], at_once: int, settings: Settings, device: str, retrain: bool
) -> None:
    """Train in processes. After an error no other training begins; those that have begun end."""
    context = get_context("spawn")  # torch's threads do not survive a fork
    said, threads = context.SimpleQueue(), max(1, torch.get_num_threads() // at_once)
    running: dict[Future, Job] = {}
    errors: list[BaseException] = []
    with ProcessPoolExecutor(at_once, context, _start, (said, threads)) as pool:
        while waiting or running:
            # Begin what waits for no other; a recipe comes after those that it learns from.
            ready = _ready(run, [*running.values(), *waiting])
            ready = [job for job in ready if job in waiting]
            for job in ready[: at_once - len(running)]:
                waiting.remove(job)
                if not _is_trained(run, job):
                    given = run.folder, job, settings, device, retrain
                    running[pool.submit(_in_process, *given)] = job

            # Pass on what they say until one has ended.
            ended = wait(running, LOOK, FIRST_COMPLETED).done
            while not said.empty():
                print(said.get(), end="", flush=True)
            for future in ended:
                del running[future]
                if error := future.exception():
                    errors.append(error)
                    waiting.clear()
    if errors:
        raise _explained(errors[0])


def _explained(error: BaseException) -> BaseException:
    if not isinstance(error, BrokenProcessPool):
        return error
    return InputError(
        "AT_ONCE: expected each training to end, but the process of one was killed, most often "
        "because memory ran out; run the same command again with AT_ONCE=1: it goes on from the "
        "last whole epoch"
    )


def _start(said: SimpleQueue, threads: int) -> None:
    end_with_parent()
    torch.set_num_threads(threads)
    sys.stdout = _Said(said)


def _in_process(folder: Path, *given: object) -> None:
    _train(Run.open(folder), *given)


class _Said(io.StringIO):
    """Standard output that goes to the parent, whenever it is flushed."""

    def __init__(self, said: SimpleQueue):
        super().__init__()
        self.said = said

    def flush(self) -> None:
        if text := self.getvalue():
            self.said.put(text)
        self.seek(0)
        self.truncate()
