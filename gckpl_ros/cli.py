"""`gckpl COMMAND ...`: the one place that names every command. Modules are imported only when their command runs."""

import os
import sys
from importlib import import_module

from gckpl_ros.errors import InputError

# command: (module whose `main` is the command, what it does)
COMMANDS = {
    "demo": ("gckpl_training.commands.demo", "simulate a street, replay it, write a report with pictures"),
    "sim": (
        "gckpl_training.commands.sim",
        "the simulated street as a recording with truth, or as a live sensor",
    ),
    "replay": ("gckpl_ros.commands.replay", "recording with PointCloud2 in, skeletons out (MCAP)"),
    "live": ("gckpl_ros.commands.live", "skeletons of live clouds on a ROS 2 network, without ROS"),
    "echo": ("gckpl_ros.commands.echo", "print live skeletons, their rate and latency"),
    "adaptation": (
        "gckpl_ros.commands.adaptation",
        "what a node or `gckpl live` learns: status, pause, save, ...",
    ),
    "fit": ("gckpl_ros.commands.fit", "bodies of a recording's people as AMASS .npz, BVH and glTF"),
    "evaluate": ("gckpl_ros.commands.evaluate", "measure a replayed recording against its truth"),
    "data": (
        "gckpl_training.commands.data",
        "person sequences: convert, from-bag, simulate, check, show, stats, split, merge",
    ),
    "train": ("gckpl_training.commands.train", "train networks: stage1, far, stage2, temporal, person, finetune"),
    "benchmark": ("gckpl_training.commands.benchmark", "measure speed and accuracy, write docs/benchmarks/*.json"),
    "export": ("gckpl_ros.commands.export", "write the keypoint network as ONNX, for other runtimes"),
    "config": ("gckpl_ros.commands.config", "print the complete configuration with descriptions"),
}


def main() -> None:
    """Run one command; bad input ends with a message on stderr and status 2, Ctrl-C with status 130.

    What runs until Ctrl-C (live, echo, sim --live) ends with status 0 then.
    """
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage())
        return
    # Before numpy is imported: its own threads spin while they wait, and on few cores that delays everything else.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    name, *rest = arguments
    if name not in COMMANDS:
        sys.stderr.write(f"gckpl: unknown command '{name}'\n\n{_usage()}")
        sys.exit(2)
    try:
        _run(name, rest)
        sys.stdout.flush()
    except InputError as error:
        sys.stderr.write(f"gckpl {name}: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as in `gckpl config | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _run(name: str, arguments: list[str]) -> None:
    import tyro

    module, help_text = COMMANDS[name]
    command = import_module(module).main
    tyro.cli(command, prog=f"gckpl {name}", description=command.__doc__ or help_text, args=arguments)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return f"usage: gckpl COMMAND [-h] ...\n\n3D human skeletons from LiDAR.\n\ncommands:\n{rows}\n"
