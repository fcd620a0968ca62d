"""The command `gckpl data`: crops simulated; person sequences (docs/data.md) made, checked, shown, split, merged."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import tyro

from gckpl_ros.errors import InputError

if TYPE_CHECKING:
    from gckpl_training.data.sequences import Sequences, Shards

Given = tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="PATH ...")]]


class Task(Protocol):
    """A subcommand: its settings, and what it does; it imports what is heavy when it runs."""

    def run(self) -> None:
        """Do it; raises InputError where it cannot."""
        ...


@dataclass(frozen=True)
class Simulate:
    """Simulate crops into shards for `gckpl train far`; stopped, it goes on with the shards that are not there yet."""

    out: Path = Path("runs/far/shards")
    """Folder of the shards; those that are there stay."""
    mocap: tuple[Path, ...] = ()
    """Packed motion capture; of each file the split train."""
    shards: int = 250
    """How many in the end, 11 MB each."""
    workers: int = 1
    """Processes, one core each."""
    crops: int = 8192
    """In each shard."""

    def run(self) -> None:
        """In this process, or in several."""
        if min(self.workers, self.shards, self.crops) < 1:
            raise InputError("give one worker, shard and crop at least")
        if self.workers == 1:
            return self.share(0)
        context = get_context("spawn")
        shares = [context.Process(target=self.share, args=(worker,)) for worker in range(self.workers)]
        for share in shares:
            share.start()
        for share in shares:
            share.join()
        if any(share.exitcode for share in shares):
            raise InputError(f"not all shards could be made in {self.out}: see above, then start it again")

    def share(self, worker: int) -> None:
        """Every ``workers``-th shard that is not there yet, on one core."""
        import torch

        from gckpl_training.data.crops import save_crops
        from gckpl_training.simulate.varied import VariedSource

        wanted = {index: self.out / f"{index:04d}.npz" for index in range(worker, self.shards, self.workers)}
        missing = {index: path for index, path in wanted.items() if not path.exists()}
        if not missing:
            return
        torch.set_num_threads(1)
        source = VariedSource(self.mocap)
        for index, path in missing.items():
            save_crops(path, source.shard(index, self.crops))


@dataclass(frozen=True)
class Check:
    """Read every shard whole and compare its checksums; status 2 where one cannot be used."""

    paths: Given

    def run(self) -> None:
        """One line for each shard."""
        from rich.console import Console

        found = _opened(self.paths)
        for file, shard in found:
            sizes = f"{len(shard)} sequences, {len(shard['views'])} frames, {len(shard['points'])} points"
            Console().print(f"{file}: {sizes}", soft_wrap=True, highlight=False)
        if found.skipped:
            raise InputError(f"{len(found.skipped)} of {len(found.skipped) + len(found.files)} shards cannot be used")


@dataclass(frozen=True)
class Show:
    """A picture of some people, from the front and from the side, with all that is known of them."""

    paths: Given
    out: Path = Path("people.png")
    people: int = 12
    seed: int = 0
    """Another seed, other people."""

    def run(self) -> None:
        """Draw it."""
        from gckpl_ros.files import atomic_write
        from gckpl_training.data.overview import sheet

        figure = sheet(_opened(self.paths).shards, self.people, self.seed)
        with atomic_write(self.out, "name another file with --out") as beside:
            figure.savefig(beside, format=self.out.suffix.removeprefix(".") or "png", bbox_inches="tight")


@dataclass(frozen=True)
class Stats:
    """Points, ranges, lengths, bones and postures as tables; with --out as JSON and plots too."""

    paths: Given
    out: Path | None = None
    """Folder for stats.json and plots."""

    def run(self) -> None:
        """Print the tables."""
        from rich.console import Console

        from gckpl_ros.files import atomic_write, write_file
        from gckpl_training.data.overview import overview, plots

        found = overview(_opened(self.paths).shards)
        figures = found.figures()
        if self.out is not None:
            for name, figure in plots(found).items():
                with atomic_write(self.out / f"{name}.png", "name another folder with --out") as beside:
                    figure.savefig(beside, format="png")
            write_file(self.out / "stats.json", json.dumps(figures, indent=1) + "\n", "name another folder with --out")
        for name, value in figures.items():
            Console().print(f"{name}: {json.dumps(value)}", soft_wrap=True, highlight=False)
        Console().print(f"fields: {', '.join(found.has)}", soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Split:
    """Deal sequences out by chance, all of one track to the same side: OUT/train and OUT/val, or as named."""

    paths: Given
    out: Path
    shares: tuple[tuple[str, float], ...] = (("train", 0.9), ("val", 0.1))
    """Names and shares, such as --shares train 0.9 val 0.1."""
    seed: int = 0

    def run(self) -> None:
        """Write each side's shards, named as theirs."""
        import numpy as np

        from gckpl_training.data.sequences import write_shard

        names, shares = zip(*self.shares, strict=True)
        if len(set(names)) < len(names) or min(shares) < 0 or not sum(shares):
            raise InputError("--shares wants different names, each with a share that is not negative")
        found, ends = _opened(self.paths), np.cumsum(shares)
        for name, (_, shard) in _names(found):
            lots = np.array([_lot(self.seed, name, one) for one in _identities(shard)])
            side = np.searchsorted(ends / ends[-1], lots, side="right")
            for place, (into, _) in enumerate(self.shares):
                if (side == place).any():
                    write_shard(self.out / into / name, shard.rows(side == place))


@dataclass(frozen=True)
class Merge:
    """Put the shards of several sets into one folder; what cannot be read is left out and named."""

    paths: Given
    out: Path

    def run(self) -> None:
        """Write them under names that tell the set."""
        from gckpl_training.data.sequences import write_shard

        found = _opened(self.paths)
        for name, (file, shard) in _names(found):
            path = self.out / name
            if path.exists() and path.resolve() != file.resolve():
                raise InputError(f"{path} is there already: name another folder with --out")
            write_shard(path, shard)


@dataclass(frozen=True)
class Convert:
    """Make person sequences of another data set, as it lies unpacked; what is there already is not made again."""

    name: tyro.conf.Positional[
        Literal["argoverse2", "kitti", "kitti_tracking", "nuscenes", "waymo", "sloper4d", "human_m3"]
    ]
    folder: tyro.conf.Positional[Path]
    out: Path
    workers: int = 1
    """Processes; each takes a log, drive or segment at a time."""
    smpl: Path | None = None
    """sloper4d: your SMPL model (.npz), by which bodies become keypoints; without it people have none."""

    def run(self) -> None:
        """A bar, then what was made and what was skipped."""
        from rich.console import Console
        from rich.progress import Progress

        from gckpl_training.data.convert import convert

        console = Console(stderr=True)
        with Progress(console=console, transient=True) as bar:
            task, done = bar.add_task(self.name, total=None), 0

            def shown(unit: str, left: int) -> None:
                nonlocal done
                done += 1
                bar.update(task, completed=done, total=done + left, description=unit)

            result = convert(self.name, self.folder, self.out, self.workers, shown, self.smpl)
        for reason in result.skipped.values():
            console.print(f"skipped: {reason}", soft_wrap=True, highlight=False)
        Console().print(
            f"{len(result.made)} shards made, {len(result.before)} were there, {len(result.skipped)} skipped;"
            f" {result.clouds} clouds, {result.clouds_per_s:.1f} a second and core"
        )


@dataclass(frozen=True)
class FromBag:
    """Follow the people in recordings and keep them, one shard each: by their detections, or by our own detector."""

    recordings: Given
    out: Path
    frame: str = ""
    """Fixed frame of recordings whose sensor moves, e.g. odom (needs TF), or odometry (the extra of that name)."""
    weights: str = ""
    frames: int = 10
    """Clouds of a sequence."""

    def run(self) -> None:
        """Write OUT/RECORDING.people for each that is not there yet; one that cannot be read is named."""
        from rich.console import Console

        from gckpl_training.data.people import save_tracked

        console, skipped = Console(stderr=True), 0
        for recording in self.recordings:
            path = self.out / f"{recording.stem}.people"
            try:
                if not path.exists():
                    people = save_tracked(path, recording, self.weights, self.frame, self.frames)
                    console.print(f"{path}: {people} sequences", soft_wrap=True, highlight=False)
            except InputError as error:
                skipped += 1
                console.print(f"skipped: {recording}: {error}", soft_wrap=True, highlight=False)
        if skipped == len(self.recordings):
            raise InputError("no recording gave anything: give recordings with PointCloud2")


Tasks = (
    Annotated[Simulate, tyro.conf.subcommand("simulate")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[FromBag, tyro.conf.subcommand("from-bag")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Stats, tyro.conf.subcommand("stats")]
    | Annotated[Split, tyro.conf.subcommand("split")]
    | Annotated[Merge, tyro.conf.subcommand("merge")]
)


def main(task: tyro.conf.OmitSubcommandPrefixes[Annotated[Tasks, tyro.conf.arg(name="")]]) -> None:
    """People in LiDAR to learn from and to measure on: simulated crops; person sequences (docs/data.md)."""
    chosen: Task = task
    chosen.run()


def _opened(paths: tuple[Path, ...]) -> "Shards":
    """All shards that can be read; the others are named on stderr."""
    from rich.console import Console

    from gckpl_training.data.sequences import open_shards

    if not paths:
        raise InputError("give shards (.people) or folders of them")
    found = open_shards(paths)
    for reason in found.skipped.values():
        Console(stderr=True).print(f"skipped: {reason}", soft_wrap=True, highlight=False)
    return found


def _names(found: "Shards") -> Iterator[tuple[str, tuple[Path, "Sequences"]]]:
    """Shards with names that are their own among all: the file's, with the folder's before it where two are alike."""
    names = [file.name for file in found.files]
    for file, shard in found:
        yield file.name if names.count(file.name) == 1 else f"{file.parent.name}-{file.name}", (file, shard)


def _identities(shard: "Sequences") -> list[int]:
    """What tells people apart: their tracks, or their place where nobody counted."""
    return shard["track_ids"].tolist() if "track_ids" in shard else list(range(len(shard)))


def _lot(seed: int, name: str, person: int) -> float:
    """The same number from 0 to 1 for the same person of a shard, on every machine."""
    return zlib.crc32(f"{seed} {name} {person}".encode()) / 2**32
