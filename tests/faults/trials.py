"""The faults. A trial inflicts one on a run, resumes the run, and returns the outcome in a few words.

An AssertionError is a broken promise of docs/reliability.md; every other outcome keeps them.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import time
from collections.abc import Set
from pathlib import Path

from tests.faults.lab import VARIANTS, Lab
from tests.forked import Started


def kill(lab: Lab, seed: int) -> str:
    """SIGKILL at a random moment; for even seeds during a save."""
    chance, name = random.Random(seed), f"kill{seed}"
    variant = chance.choice(list(VARIANTS))
    process = lab.start(name, variant)
    in_save = seed % 2 == 0 and _wait_for_save(lab, name, process, chance)
    if not in_save:
        _wait_for_moment(lab, name, process, chance)
    process.kill()
    process.communicate()
    return ("killed in a save, " if in_save else "killed, ") + _resume(lab, name, variant)


def stop(lab: Lab, seed: int) -> str:
    """SIGINT or SIGTERM at a random moment: the run must save, and exit with the code a shell expects."""
    chance, name = random.Random(seed), f"stop{seed}"
    variant, number = chance.choice(list(VARIANTS)), chance.choice([signal.SIGINT, signal.SIGTERM])
    process = lab.start(name, variant)
    _wait_for_moment(lab, name, process, chance)
    process.send_signal(number)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=60)
    took = time.monotonic() - sent
    # Before the first step there is nothing to save, and Python's own signal handling applies.
    assert process.returncode in (0, 128 + number, -number), (process.returncode, errors)
    if "stopped and saved" in errors:
        assert took < 10, f"it took {took:.1f} s"
    assert "Traceback" not in errors, errors
    return f"{number.name}, " + _resume(lab, name, variant)


def stop_twice(lab: Lab, seed: int) -> str:
    """A second Ctrl-C shortly after the first: the run exits at once, and its files are intact."""
    chance, name = random.Random(seed), f"twice{seed}"
    variant = chance.choice(list(VARIANTS))
    process = lab.start(name, variant)
    _wait_for_save(lab, name, process, chance)
    process.send_signal(signal.SIGINT)
    time.sleep(chance.uniform(0, 0.02))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 130), process.returncode
    return "SIGINT twice, " + _resume(lab, name, variant)


def fill_disk(lab: Lab, seed: int) -> str:
    """From a random moment on, no file can grow beyond 1 kB; for even seeds there is space again later."""
    chance, name = random.Random(seed), f"full{seed}"
    variant, there_is_space_again = chance.choice(list(VARIANTS)), seed % 2 == 0
    process = lab.start(name, variant)
    while not (lab.runs / name / "losses.jsonl").exists() and process.poll() is None:
        time.sleep(0.001)  # its workers, whose shared memory is also limited, have started
    time.sleep(chance.uniform(0, 1.5))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    time.sleep(chance.uniform(0, 1))
    if there_is_space_again and process.poll() is None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    done = lab.finish(process)
    assert "Traceback" not in done.stderr, done.stderr
    if "could not be saved as" not in done.stderr:
        return "full, " + _resume(lab, name, variant, pictures=False)
    assert done.returncode == (1 if "the end of the run could not be saved" in done.stderr else 0), done.stderr
    outcome = "saved again later" if done.returncode == 0 else "ended with 1"
    # The weights of an epoch that ended while the disk was full are lost.
    lost = {epoch for epoch in ("1", "2") if f"could not be saved as latest, {epoch} (" in done.stderr}
    return f"full, reported, {outcome}, " + _resume(lab, name, variant, pictures=False, lost=lost)


def damage(lab: Lab, seed: int) -> str:
    """A random file of a run that was stopped half-way is truncated, or has a bit flipped, before resuming."""
    chance, name = random.Random(seed), f"damage{seed}"
    shutil.copytree(stopped_half_way(lab), lab.runs / name)
    file = chance.choice(sorted(path for path in (lab.runs / name).rglob("*") if path.is_file()))
    content = bytearray(file.read_bytes())
    if chance.random() < 0.5 or not content:
        kind, content = "cut off", content[: chance.randrange(max(1, len(content)))]
    else:
        kind = "bit flipped"
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)

    used = ""
    if file.suffix == ".pth":
        epoch = file.name.split("_net_")[0]
        tested = lab.translate(name, "--epoch", epoch)
        generators = "_net_G_" in file.name  # test.py reads no other weights
        assert tested.returncode == (2 if generators else 0), (file, tested.stderr)
        assert file.name in tested.stderr or not generators, tested.stderr
        used = ", refused by test.py" if generators else ""
    done = lab.resume(name, "lsgan")
    printed = done.stdout + done.stderr
    assert "Traceback" not in printed, printed
    if done.returncode:
        assert done.returncode == 2 and file.name in done.stderr, (file, kind, done.stderr)
        return _forget(lab, name, f"{kind}: clear error{used}")
    different = lab.differences(name, "lsgan")
    is_reported = file.name in printed or "images of epoch" in printed or "is damaged" in printed
    if not different:
        return _forget(lab, name, f"{kind}: {'repaired, and reported' if is_reported else 'harmless'}{used}")
    is_not_needed = file.name.split("_")[0].isdigit() or "pictures" in different[0]
    assert is_reported and is_not_needed, f"{file}, {kind}: silently wrong: {different[:5]}\n{printed}"
    return _forget(lab, name, f"{kind}: not needed to resume, and reported{used}")


def stopped_half_way(lab: Lab) -> Path:
    """The folder of a run that was stopped in its second epoch; made once."""
    name = "half_way"
    if not (lab.runs / name).is_dir():
        process = lab.start(name, "lsgan")
        log = lab.runs / name / "losses.jsonl"
        while not log.is_file() or len(log.read_text().splitlines()) < 10:
            time.sleep(0.01)
        process.terminate()
        assert lab.finish(process).returncode == 143
    return lab.runs / name


def _wait_for_moment(lab: Lab, name: str, process: Started, chance: random.Random) -> None:
    """Wait a random part of a run's duration, from when its folder exists."""
    while not (lab.runs / name / ".lock").exists() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 2.0))


def _wait_for_save(lab: Lab, name: str, process: Started, chance: random.Random) -> bool:
    """Wait until a moment after the start of a random save; returns whether there was one."""
    for _ in range(chance.randrange(1, 12)):
        for begins in (False, True):  # wait for the end of a save in progress, then for the next one
            while any((lab.runs / name).glob(".latest_*.tmp")) is not begins:
                if process.poll() is not None:
                    return False
    time.sleep(chance.uniform(0, 0.01))
    return True


def _resume(lab: Lab, name: str, variant: str, pictures: bool = True, lost: Set[str] = frozenset()) -> str:
    """Resume to the end, or start again if nothing was saved yet; the result must be that of an undisturbed run."""
    if not any((lab.runs / name).glob("*.pt")):
        done, outcome = lab.finish(lab.start(name, variant, "--overwrite")), "before its first save: started again"
    else:
        done, outcome = lab.resume(name, variant), "resumed: bit for bit the same"
    assert done.returncode == 0, done.stdout + done.stderr
    different = lab.differences(name, variant, pictures)
    different = [place for place in different if not any(f"weights.{epoch}_net_" in place for epoch in lost)]
    assert not different, f"{name} ({variant}): {different[:5]}\n{done.stderr}"
    return _forget(lab, name, outcome)


def _forget(lab: Lab, name: str, outcome: str) -> str:
    lab.forget(name)
    return outcome
