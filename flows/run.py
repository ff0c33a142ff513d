"""Options -> Run: what a command asks for, checked, completed with defaults and made concrete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasets.corrections import Correction
from datasets.remote import place_of
from datasets.store import Store
from flows import presets
from flows.checks import check_device, check_folders, check_fraction
from flows.demo import DEMO_NAME, demo_sources
from flows.errors import UsageError
from flows.presets import Preset
from flows.runners import Runner, parse_runner
from flows.settings import override, stages
from flows.sources import Kind, SourceFile, find_sources
from flows.words import words_of
from tasks import motion
from tasks.batch import Env

STORE = "out/.store"
KINDS: dict[str, tuple[Kind, ...]] = {"footage": ("video",), "motion": ("motion", "scene")}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line, or a deployment's parameters, say. None means that nothing was said."""

    sources: tuple[str, ...] = ()
    preset: str | None = None
    out: str | None = None
    store: str | None = None
    weights: str | None = None
    runner: str = "processes"
    settings: tuple[str, ...] = ()  # STAGE.FIELD=VALUE
    seed: int | None = None
    limit: int | None = None
    max_failed_fraction: float = 0.1
    corrections: str | None = None  # a file of a person's words; None: the one in OUT


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that a run is."""

    sources: tuple[SourceFile, ...]
    preset: str
    config: Preset
    env: Env
    runner: Runner
    out: str
    max_failed_fraction: float
    corrections: tuple[Correction, ...] = ()  # a person's words that stand
    corrections_file: str | None = None  # where they come from, when that is not OUT

    @property
    def route(self) -> str:
        """footage or motion."""
        return self.config.route


def prepare(options: Options, *, device: str = "cpu") -> Run:
    """The Run that the options ask for. Raises UsageError; writes nothing but the demo's own motion files."""
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit}: want 1 or more, got {options.limit}")
    check_fraction(options.max_failed_fraction)
    check_device(device)
    if options.weights is not None and not Path(options.weights).is_dir():
        raise UsageError(f"--weights {options.weights}: want a folder of weights, got no such folder")
    runner = parse_runner(options.runner)
    store = options.store or STORE
    preset, sources = _sources(options, store)
    out = options.out or f"out/{preset}"
    check_folders(out, store)
    config = override(_seeded(presets.PRESETS[preset](), options.seed), options.settings)
    _check_fit(config)
    _check_bodies(config)
    env = Env(
        store=Store(place_of(store)),
        weights=options.weights and str(Path(options.weights).absolute()),
        device=device,
        threads=runner.threads,
    )
    return Run(
        sources=tuple(sources[: options.limit]),
        preset=preset,
        config=config,
        env=env,
        runner=runner,
        out=place_of(out),
        max_failed_fraction=options.max_failed_fraction,
        corrections=words_of(out, options.corrections),
        corrections_file=options.corrections and place_of(options.corrections),
    )


def _sources(options: Options, store: str) -> tuple[str, list[SourceFile]]:
    """The preset's name and the sources; a preset that was not named follows from what the sources are."""
    preset = options.preset
    if preset is not None and preset not in presets.PRESETS:
        raise UsageError(
            f"--preset {preset}: want one of {', '.join(presets.PRESETS)}, got {preset!r}{presets.near(preset)}"
        )
    if not options.sources:
        if preset not in (None, DEMO_NAME):
            raise UsageError(
                f"--preset {preset}: want a SOURCE to build from, got none; only the preset demo brings its own"
            )
        return DEMO_NAME, demo_sources(store, options.seed or 0)
    kinds = KINDS[presets.PRESETS[preset]().route] if preset else None
    # What the run itself writes is never its source, also when the command is given the folder above.
    leave_out = [options.out or "out", store]
    sources = find_sources(options.sources, kinds=kinds, leave_out=leave_out)
    return preset or _preset_for(sources), sources


def _preset_for(sources: Sequence[SourceFile]) -> str:
    videos = [source for source in sources if source.kind == "video"]
    others = [source for source in sources if source.kind != "video"]
    if videos and others:
        raise UsageError(
            "SOURCE: want videos, or motion and scene files, in one run, got both: "
            f"{len(videos)} such as {videos[0].name}, {len(others)} such as {others[0].name}; "
            "name one kind by --preset light or --preset motion, each with its own --out"
        )
    return "light" if videos else "motion"


def _check_fit(config: Preset) -> None:
    try:
        config.check()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _check_bodies(config: Preset) -> None:
    if isinstance(config, presets.MotionConfig):
        try:
            motion.check(config.motion)
        except ValueError as error:
            raise UsageError(f"motion.body_models: {error}") from error


def _seeded(config: Preset, seed: int | None) -> Preset:
    """The configuration with every stage's `seed` set to the run's."""
    if seed is None:
        return config
    if seed < 0:
        raise UsageError(f"--seed {seed}: want 0 or more, got {seed}")
    changed = {name: getattr(config, name) for name in stages(config) if hasattr(getattr(config, name), "seed")}
    return replace(config, **{name: replace(part, seed=seed) for name, part in changed.items()})
