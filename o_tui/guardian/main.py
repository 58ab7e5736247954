"""The guardian's process: takes the lock, opens the storage, starts the tree, serves views until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from o_tui import __version__, _native, config, paths
from o_tui.evolution.genome import Genome
from o_tui.guardian.api import Api
from o_tui.guardian.core import Guardian, Placement
from o_tui.guardian.evolution_adapters import seams_of
from o_tui.guardian.evolving.attack_writer import Writer
from o_tui.guardian.evolving.code import read_code
from o_tui.guardian.evolving.evolutions import Evolutions
from o_tui.guardian.evolving.initiative import Initiative
from o_tui.guardian.evolving.red_team import RedTeam
from o_tui.guardian.evolving.seams import Seams
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.lock import GuardianLock
from o_tui.guardian.storage.stores import Stores
from o_tui.guardian.views import ViewServer
from o_tui.protocol import messages
from o_tui.protocol.errors import OError, PeerError, none_left
from o_tui.protocol.safe_text import safe

VIEWS_LOOK_S = 5.0


def open_genome(place: paths.Paths, seed: Path) -> tuple[Genome, Code]:
    """The operator's genome, made from the seed at the first start. Blocking."""
    genome = Genome.open(place.genome, seed)
    return genome, read_code(genome, genome.head())


def previous_code(genome: Genome) -> Code | None:
    """The revision before the genome's head; None: there is none, or it cannot be read. Blocking."""
    try:
        return read_code(genome, genome.previous())
    except OError:
        return None


async def run(
    place: paths.Paths,
    settings: config.Config,
    placement: Placement,
    ready: Callable[[Guardian], None],
    seed: Path | None = None,
) -> None:
    """Runs one guardian until `Guardian.request_stop`. `seed` is what a new genome is made from.

    Raises:
        BusyError: Another guardian holds the workspace.
        OError: It could not be started.
    """
    with contextlib.suppress(OSError):
        _native.set_short_turns()  # who waits for this loop does not wait for the checkpoint that another core packs
    place.prepare()
    lock = GuardianLock.acquire(place, placement)
    async with contextlib.AsyncExitStack() as ends:
        ends.callback(lock.release)
        stores = await asyncio.to_thread(Stores.open, place)
        ends.push_async_callback(stores.close)
        lock.set_epoch(stores.database.epoch)
        genome, code = await asyncio.to_thread(open_genome, place, seed or paths.shipped("data") / "genome")
        guardian = Guardian(place, settings, stores, code, placement)
        seams = seams_of(guardian)
        evolutions = _evolutions(guardian, genome, seams)
        guardian.initiative = _initiative(guardian, evolutions, seams)
        red_team = guardian.red_team = _red_team(guardian, evolutions, genome, seams)
        guardian.ladder.previous = lambda: asyncio.to_thread(previous_code, genome)
        views = _views(guardian, evolutions)
        # each is ended even where the one before could not be
        ends.push_async_callback(views.close)
        ends.push_async_callback(_stop, guardian)
        ends.push_async_callback(evolutions.close)
        ends.push_async_callback(red_team.close)
        await guardian.start()
        await guardian.holding.load()
        await guardian.initiative.load()
        await evolutions.recover()
        await views.start(lock)
        guardian.background.every(VIEWS_LOOK_S, "views cannot connect", views.look)
        # what lives as long as the guardian is not looked at again by every collection; inside a screen that is
        # the screen's modules too, or each full collection would keep our loop waiting for tens of milliseconds
        gc.collect()
        gc.freeze()
        ready(guardian)
        await guardian.stopping.wait()
        if guardian.fatal is not None:
            raise guardian.fatal


async def _stop(guardian: Guardian) -> None:
    await guardian.stop(guardian.stop_reason or "it was interrupted")


def _evolutions(guardian: Guardian, genome: Genome, seams: Seams) -> Evolutions:
    stores, place = guardian.stores, guardian.paths
    return Evolutions(
        genome,
        seams,
        rows=stores.evolutions,
        learning=stores.learning,
        attacks=stores.attacks,
        settings=guardian.config.evolution,
        workload_folders=[place.data / "workloads"],
        programs=place.programs,
    )


def _initiative(guardian: Guardian, evolutions: Evolutions, seams: Seams) -> Initiative:
    return Initiative(
        guardian.stores.learning,
        begin=evolutions.begin,
        busy=evolutions.busy,
        settings=lambda: guardian.config.evolution,
        held=seams.surroundings.held,
        told=lambda text, data: guardian.event("evolution", "intent", "info", text, data),
    )


def _red_team(guardian: Guardian, evolutions: Evolutions, genome: Genome, seams: Seams) -> RedTeam:
    assert guardian.initiative is not None
    return RedTeam(
        guardian.stores.attacks,
        genome=genome,
        recorded=seams.recorded,
        settings=lambda: guardian.config.evolution,
        held=seams.surroundings.held,
        evolving=lambda: evolutions.running,
        raised=guardian.initiative.raised,
        told=lambda level, text, data: guardian.event("evolution", "attack", level, text, data),
        writer=Writer(
            seams.surroundings.ask_model,
            model=guardian.effects.model,
            tokens=lambda: guardian.config.evolution.red_team_tokens,
            told=lambda level, text: guardian.event("evolution", "attack", level, text),
        ),
    )


def _views(guardian: Guardian, evolutions: Evolutions) -> ViewServer:
    """The socket for views, and the guardian's notices on their way there."""
    epoch = guardian.stores.database.epoch
    welcome = messages.Welcome(
        protocol=messages.PROTOCOL_VERSION,
        build=__version__,
        instance=f"guardian-{epoch}",
        epoch=epoch,
        pid=os.getpid(),
        placement=guardian.placement,
    )
    views = guardian.audience = ViewServer(
        guardian.paths.socket,
        Api(guardian, evolutions),
        lambda: welcome,
        lambda level, text: guardian.event("views", "view", level, text),
        guardian.lifetime.alone,
    )
    return views


def main(argv: list[str] | None = None) -> int:
    """`python -m o_tui.guardian.main`: the guardian in a process of its own."""
    parser = argparse.ArgumentParser(prog="o-tui-guardian")
    parser.add_argument("--data-dir")
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args(argv)
    place = paths.locate(arguments.data_dir)
    try:
        place.prepare()
        settings = config.load(place.config_file)
        asyncio.run(_serve(place, settings, lambda pid: _tell(arguments.ready_fd, {"ok": True, "pid": pid})))
    except OError as error:
        _tell(arguments.ready_fd, {"ok": False, "error": str(error), "code": error.code, "hint": error.hint})
        print(safe(f"o-tui: {error}" + (f"\n  {error.hint}" if error.hint else "")), file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the process' border: a defect ends it with one line, and details in the log
        if hint := none_left(str(error)):
            text = f"the guardian could not be started: {error}"
            _tell(arguments.ready_fd, {"ok": False, "error": text, "code": PeerError.code, "hint": hint})
            print(safe(f"o-tui: {text}\n  {hint}"), file=sys.stderr)
            return PeerError.code
        print(safe(traceback.format_exc()), file=sys.stderr)
        text = f"the guardian has a defect: {type(error).__name__}: {error}"
        _tell(arguments.ready_fd, {"ok": False, "error": text, "code": 1, "hint": f"see {place.log}"})
        print(safe(f"o-tui: {text}"), file=sys.stderr)
        return 1
    return 0


async def _serve(place: paths.Paths, settings: config.Config, told: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()

    def ready(guardian: Guardian) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, guardian.request_stop, f"{number.name} came")
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        told(os.getpid())

    await run(place, settings, "process", ready)


def _tell(descriptor: int, message: dict[str, object]) -> None:
    """One JSON line for whoever started this process and waits."""
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.write(descriptor, msgspec.json.encode(message) + b"\n")
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
