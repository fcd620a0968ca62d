"""What every training run has: its loop, checkpoints to go on from, the learning rate's schedule, and what it notes.

Started by torchrun, every process of Stage I simulates its own crops, and gradients are averaged; Stage II, fine-tuning
and the temporal network draw the same batch everywhere, and each process takes its share of it through the network.
"""

import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar

import torch
from rich.progress import Progress
from torch import Tensor
from torch import distributed as dist

from gckpl_ros.errors import InputError
from gckpl_ros.estimate.estimator import choose_device
from gckpl_ros.files import atomic_write, write_file
from gckpl_ros.learn.learner import Alone, Out
from gckpl_training.learn.artefacts import plain, settings


class Parallel(Alone):
    """This process among all; alone when not started by torchrun."""

    def __init__(self, device: torch.device) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        own_gpu = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        self.device = own_gpu if device.type == "cuda" and self.size > 1 else device
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process writes logs and files."""
        return self.rank == 0

    def average(self, tensors: list[Tensor]) -> None:
        """Replace the tensors, in place, by their mean over all processes."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def over(self, rows: int, call: Callable[[Tensor | slice], Out]) -> Out:
        """What ``call`` makes of all rows: of its share here; the rest, without gradient, as other processes say.

        A loss of it is that of one process, whatever it counts; ``add`` makes the gradient so, too.
        """
        if self.size == 1:
            return call(slice(None))
        shares = torch.arange(rows, device=self.device).tensor_split(self.size)
        own, nobody = shares[self.rank], len(shares[self.rank]) == 0
        said = call(torch.zeros(1, dtype=torch.long, device=self.device) if nobody else own)
        if isinstance(said, Tensor):
            return self._whole(said, 0, shares)
        parts = zip(said._fields, said, strict=True)  # type: ignore[attr-defined, call-overload]
        return type(said)(*(self._whole(part, int(name == "steps"), shares) for name, part in parts))

    def _whole(self, own: Tensor, axis: int, shares: Sequence[Tensor]) -> Any:
        """All rows along an axis: ours with their gradient, the others' without."""
        own = own.movedim(axis, 0)[: len(shares[self.rank])]
        most = max(map(len, shares))
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own.detach()
        all_rows = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(all_rows, padded)
        pieces = [rows[: len(share)] for rows, share in zip(all_rows, shares, strict=True)]
        pieces[self.rank] = own
        return torch.cat(pieces).movedim(0, axis)

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Add up, in place, over all processes."""
        self.average(list(gradients))
        for gradient in gradients if self.size > 1 else ():
            gradient *= self.size

    def any(self, wish: bool) -> bool:
        """Whether any process wishes it: all hear the same."""
        if self.size == 1:
            return wish
        wishes = torch.tensor(float(wish), device=self.device)
        dist.all_reduce(wishes)
        return bool(wishes > 0)

    def close(self) -> None:
        """Leave the group; processes wait for each other."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()


# Losses are noted after so many steps.
NOTE_EVERY: Final = 20
MEND: Final = "name another folder with --out"


@dataclass(frozen=True)
class RunConfig:
    """What the settings of all runs have; kept beside the weights."""

    out: Path = Path("runs/run")
    """Folder of this run: checkpoints, weights, logs; a run that stopped resumes from it."""
    steps: int = 1000
    warmup_steps: int = 50
    """The learning rate rises over these steps."""
    decay_fraction: float = 0.5
    """The learning rate is constant, then falls linearly to zero over this last share of the steps."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<n>; under torchrun each process takes its own GPU."""
    seed: int = 0
    checkpoint_every_s: float = 120.0

    def schedule(self, step: int) -> float:
        """Factor of the learning rate at a step: warm-up, constant, linear decay."""
        left = (self.steps - step) / max(1.0, self.decay_fraction * self.steps)
        return min((step + 1) / max(1, self.warmup_steps), 1.0, left)


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a restart needs."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any:
        """Continue where ``state_dict`` was taken."""
        ...


T = TypeVar("T")


class Stream(Generic[T]):
    """What is drawn many at a time and used one by one; resumed, it goes on with the one that would have come next.

    ``draw`` depends on the step and the generators alone: a checkpoint holds these, and how many were used.
    """

    def __init__(self, draw: Callable[[int], Iterable[T]], *generators: torch.Generator) -> None:
        self._draw, self._generators = draw, generators
        self._items: Iterator[T] = iter(())
        self._state: dict[str, Any] = {"step": 0, "used": 0, "generators": []}

    def next(self, step: int) -> T:
        """The next one; when there is none left, more are drawn."""
        item = next(self._items, None)
        if item is None:
            self._state = {"step": step, "used": 0, "generators": [each.get_state() for each in self._generators]}
            self._items = iter(self._draw(step))
            item = next(self._items)
        self._state["used"] += 1
        return item

    def state_dict(self) -> dict[str, Any]:
        """When, with what and how far."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Draw the same again and leave out what was used; the generators are left as they were after drawing."""
        self._state = dict(state)
        for generator, held in zip(self._generators, state["generators"], strict=False):
            generator.set_state(held.cpu())
        self._items = iter(self._draw(state["step"]) if state["used"] else ())
        for _ in range(state["used"]):
            next(self._items)


class Run(ABC):
    """A training run: ``parts``, ``generators`` and ``numbers`` are all that a checkpoint holds."""

    stage: ClassVar[str]
    """As the weights name it."""
    headline: ClassVar[str] = "total"
    """The figure beside the progress bar."""
    processes: ClassVar[Literal["one", "own batches", "one batch"]] = "one"
    """Under torchrun: no more than one; each learns from batches of its own; each takes its share of one batch."""
    free: ClassVar[tuple[str, ...]] = ("out", "steps", "device", "checkpoint_every_s")
    """Settings that may change when a run resumes."""
    later: ClassVar[tuple[str, ...]] = ()
    """Parts that checkpoints of former versions lack: they begin anew."""

    def __init__(self, config: RunConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.parallel = Parallel(choose_device(config.device))
        if self.parallel.size > 1 and self.processes == "one":
            raise InputError(f"{self.stage} trains in one process: start it without torchrun")
        self.device = self.parallel.device
        self.parts: dict[str, Stateful] = {}
        self.generators: dict[str, torch.Generator] = {}
        self.numbers: dict[str, float] = {}

    @abstractmethod
    def train_step(self) -> dict[str, float]:
        """One step of the optimiser; returns figures by name."""

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the weights as they are now."""

    def begin(self) -> None:  # noqa: B027
        """Make what only training needs."""

    def validate(self) -> dict[str, float]:
        """Figures of the averaged network, where they are due after this step."""
        return {}

    def finish(self) -> dict[str, float]:
        """Write the final weights; returns figures of them."""
        self.write(self.config.out / "final.safetensors")
        return {}

    @cached_property
    def made_of(self) -> dict[str, Any]:
        """What a checkpoint must be of to go on from it."""
        return settings(self.config, *self.free)

    def run(self) -> dict[str, float]:
        """Train to the configured step, from ``last.pt`` where there is one; returns figures of the end.

        Ctrl-C ends it after the present step, with a checkpoint. Raises InputError where ``out`` cannot be written, or
        holds a run of other settings.
        """
        open_folder(self.config)
        self.resume()
        journal = Journal(self) if self.parallel.leads else Silence()
        self.begin()
        saved = time.monotonic()
        with journal, _deferred_interrupt() as asked:
            while self.step < self.config.steps:
                figures = self.train_step()
                self.step += 1
                journal.note(self.step, figures)
                if self.parallel.leads and (measured := self.validate()):
                    journal.measured(self.step, measured)
                stopped = self.parallel.any(asked())
                due = time.monotonic() - saved > self.config.checkpoint_every_s
                if stopped or due or self.step == self.config.steps:
                    self.save()
                    saved = time.monotonic()
                if stopped and self.step < self.config.steps:
                    raise KeyboardInterrupt
        result = self.finish() if self.parallel.leads else {}
        self.parallel.close()
        return result

    def save(self) -> None:
        """Write ``last.pt`` and ``last.safetensors``, whole or not at all, so that a killed run can resume."""
        if not self.parallel.leads:
            return
        held: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        held |= {"step": self.step, "numbers": self.numbers, "made_of": json.dumps(self.made_of)}
        held["generators"] = {name: each.get_state() for name, each in self.generators.items()}
        self.write(self.config.out / "last.safetensors")
        with atomic_write(self.config.out / "last.pt", MEND) as beside:
            torch.save(held, beside)

    def resume(self) -> None:
        """Continue from ``last.pt`` where there is one; raises InputError when that is a run of other settings."""
        path = self.config.out / "last.pt"
        if not path.exists():
            return
        held = torch.load(path, map_location=self.device, weights_only=True)
        _same_settings(path, self._held_settings(json.loads(held.get("made_of", "{}"))), self.made_of)
        self.step, self.numbers = held["step"], held["numbers"]
        for name, part in self.parts.items():
            if name in self.later and name not in held:
                continue
            if self._alike or not isinstance(part, Stream):
                part.load_state_dict(held[name])
        for name, generator in self.generators.items():
            if self._alike:
                generator.set_state(held["generators"][name].cpu())
            else:  # each process draws its own
                generator.manual_seed(self.config.seed + 1000 * self.parallel.rank + self.step)

    @property
    def _alike(self) -> bool:
        """Whether this process draws what the leading one draws."""
        return self.parallel.leads or self.processes == "one batch"

    def _held_settings(self, held: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint's settings as this version knows them: what it did not know yet had its default."""
        names = {one.name for one in fields(self.config)} - {*self.free, *held}
        defaults = type(self.config)()
        return {n: v for n, v in held.items() if n not in self.free} | {
            name: plain(getattr(defaults, name)) for name in names if name in self.made_of
        }

    def move(self, out: Path) -> None:
        """Work in another folder."""
        self.config = replace(self.config, out=out)

    def provenance(self) -> dict[str, str]:
        """Where weights come from, for their metadata."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        stage = {"stage": self.stage, "step": str(self.step), "seed": str(self.config.seed)}
        return {**stage, "commit": commit(), "date": now}


def open_folder(config: RunConfig) -> None:
    """Make the folder of a run and keep its settings there; raises InputError where that cannot be."""
    kept = {"commit": commit(), **asdict(config)}
    write_file(config.out / "config.json", json.dumps(kept, indent=1, default=str) + "\n", MEND)


def commit() -> str:
    """The commit of the source tree, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Silence(AbstractContextManager["Silence"]):
    """Notes nothing: for processes that follow."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def note(self, step: int, figures: dict[str, float]) -> None:
        """Figures of a step."""

    def measured(self, step: int, figures: dict[str, float]) -> None:
        """Figures of the averaged network."""


class Journal(Silence):
    """A progress bar, ``losses.jsonl``, ``validation.jsonl`` and TensorBoard's files; used as a context manager."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run, self._out = run, run.config.out
        self._board = SummaryWriter(self._out / "tensorboard")
        self._progress = Progress(transient=True)
        self._bar = self._progress.add_task(run.stage, total=run.config.steps, completed=run.step)
        self._open = ExitStack()

    def __enter__(self) -> "Journal":
        self._open.enter_context(self._board)
        self._open.enter_context(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def note(self, step: int, figures: dict[str, float]) -> None:
        """Figures of a step."""
        headline = self._run.headline
        text = f"{self._run.stage}, {headline} {figures[headline]:.3f}"
        self._progress.update(self._bar, completed=step, description=text)
        if step % NOTE_EVERY == 0:
            self._write("losses.jsonl", "train", step, figures)

    def measured(self, step: int, figures: dict[str, float]) -> None:
        """Figures of the averaged network."""
        self._write("validation.jsonl", "validation", step, figures)

    def _write(self, file: str, title: str, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._board.add_scalar(f"{title}/{name}", value, step)
        with (self._out / file).open("a") as lines:
            lines.write(json.dumps({"step": step, **figures}) + "\n")


def _same_settings(path: Path, held: dict[str, Any], now: dict[str, Any]) -> None:
    if other := sorted(name for name in held.keys() | now.keys() if held.get(name) != now.get(name)):
        raise InputError(f"{path} is of a run with other settings ({', '.join(other)}): {MEND}, or delete it")


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: a wish first, an interruption the second time."""
    before, asked = signal.getsignal(signal.SIGINT), []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
