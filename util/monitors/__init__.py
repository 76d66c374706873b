"""Which live monitors the options ask for. What one of them needs is imported only when it is asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from util.monitors.base import Monitor, print_line


def create_monitors(
    opt: argparse.Namespace,
    history: Sequence[Mapping[str, float]],
    say: Callable[[str], None] = print_line,
) -> list[Monitor]:
    """The monitors that the options ask for.

    `history` holds the earlier lines of losses.jsonl when a run is resumed: their curves are restored.
    `say` prints one line for the user from any thread; with a progress bar, give its own way to write.
    Raises UserError if wandb does not start.
    """
    monitors: list[Monitor] = []
    if opt.use_wandb:
        from util.monitors.wandb_monitor import WandbMonitor

        monitors.append(WandbMonitor(opt.wandb_project_name, opt.name, vars(opt), history, say))
    if opt.is_train and opt.display_id > 0:
        from util.monitors.visdom_monitor import VisdomMonitor, VisdomServer

        server = VisdomServer(opt.display_server, opt.display_port, opt.display_env)
        monitors.append(
            VisdomMonitor(
                server,
                opt.name,
                history,
                window=opt.display_id,
                columns=opt.display_ncols,
                image_size=opt.display_winsize,
                say=say,
            )
        )
    return monitors
