"""The command line. Commands import torch only when they begin to work."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import NoReturn

from twofold.allocation import keep_memory
from twofold.errors import TwofoldError, printable, unknown

COMMANDS = (
    "pretrain",
    "align",
    "evaluate",
    "finetune",
    "distill",
    "semisupervise",
    "predict",
    "prove",
    "embed",
    "search",
    "pack",
    "preview",
    "report",
    "compare",
    "study",
    "export",
    "runs",
    "simulate",
    "list",
)
"""Each is a module of `twofold.commands`."""

_SHARED = ("pretrain", "align", "evaluate", "finetune", "distill", "embed")
"""What several processes can do together."""

_HELP = """\
twofold learns representations from unlabelled data.

  twofold pretrain RECIPE --data D --out RUN   train an encoder
  twofold pretrain --resume RUN                go on with a run that was stopped
  twofold align RECIPE --data D --beside E ... two encoders that agree: pictures and their states
  twofold evaluate RUN [--data D ...]          probe it beside raw input and the untrained network
  twofold evaluate ENCODER --data D            the same of any encoder: timm/NAME, torchvision/NAME
  twofold evaluate --embeddings FILE           the same of embeddings of any system
  twofold prove RUN [--data D]                 what it keeps and ignores of each augmentation
  twofold prove ENCODER --data D               the same of any encoder: timm/NAME, torchvision/NAME
  twofold finetune RUN --data D --out F        labels for a trained encoder, all or few
  twofold distill TEACHER --data D --out F     a student of a fine-tuned run, on unlabelled items
  twofold semisupervise RECIPE --data D ...    pretrain, fine-tune on --label-fraction, distil
  twofold predict RUN --data D --out FILE.csv  classes or numbers of any items
  twofold embed RUN --data D --out FILE.npz    embeddings of any items; .parquet, too
  twofold search RUN --data D --query FILE     the items nearest to an image: --out PNG shows them
  twofold pack D --out FOLDER                  shards of data larger than memory, here or anywhere
  twofold preview RECIPE --data D --out PNG    see the views before paying for training
  twofold report RUN                           one page that shows it all
  twofold compare RUN RUN ... [--out HTML]     runs side by side: what differs, figures, cost
  twofold study RECIPE --data D --out FOLDER   a grid over any fields and seeds: --grid F=V,V
  twofold study --resume FOLDER                go on with a study that was stopped
  twofold export RUN --out FILE                for torchvision, timm, ONNX or torch.export
  twofold runs [FOLDER]                        a table of all runs: --sort COLUMN
  twofold simulate jets --n N --out FILE.h5    jets of two classes, from Pythia 8 and FastJet
  twofold simulate emoji --out FILE.h5         the same concepts drawn by several artists
  twofold simulate notes --n N --out FILE.h5   notes of instruments, played from soundfonts
  twofold simulate speech --n N --out FILE.h5  words in many voices and accents, by espeak-ng
  twofold simulate pendulum --out FILE.h5      orbits, also of a double-pendulum, kepler and more
  twofold list                                 recipes, encoders, augmentations, data names

Every command has --help. D is a name, a folder, a .npy, .npz or .h5 file, or a URL of shards.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command; a user's mistake ends in one line and exit status 2."""
    args = list(sys.argv[1:] if argv is None else argv)
    # Read once, when torch is loaded: idle threads sleep and leave the cores to other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.formatwarning = _note
    try:
        if not args or args[0] in {"-h", "--help", "help"}:
            print(_HELP, end="")
        elif args[0] in {"--version", "version"}:
            from twofold import __version__

            print(f"twofold {__version__}")
        elif args[0] not in COMMANDS:
            flags = ("--help", "--version")
            raise unknown("command", args[0], flags if args[0].startswith("-") else COMMANDS)
        else:
            sys.exit(_work(args[0], args[1:]))
    except TwofoldError as error:
        print(f"twofold: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except MemoryError:
        print("twofold: there is not enough memory; take fewer or smaller items", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"twofold: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)


def _work(command: str, args: list[str]) -> int:
    """The exit status of a command; of the processes of `torchrun` the first speaks for all."""
    keep_memory()
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return _main(command, args)

    from twofold.distributed import rank, together

    with together():
        if command not in _SHARED:
            raise TwofoldError(
                f"`twofold {command}` is work for one process; start it without torchrun"
            )
        if rank() == 0:
            status = _main(command, args)
        else:
            warnings.simplefilter("ignore")
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
                status = _main(command, args)
    _leave(status)


def _leave(status: int) -> NoReturn:
    """Ends this process at once, without what Python and libraries tear down at its end.

    Of two processes whose work was done and written, one was once aborted after that: its threads
    that exchange messages outlive Python's last line.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _main(command: str, args: list[str]) -> int:
    status: int = import_module(f"twofold.commands.{command}").main(args)
    return status


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as a user reads it: what is the matter, not which line of ours says so."""
    del category, filename, lineno, line
    return f"note: {message}\n"
