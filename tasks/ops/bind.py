"""Tracklets, Poses, Segments -> People: who (mask) bound to how (pose), over the whole clip at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from datasets.records import CameraMotion, People, Poses, Segments, Tracklets
from tasks.ops.bind_bodies import bodies_of
from tasks.ops.bind_cost import Costs
from tasks.ops.bind_events import events_of, in_order, unexplained
from tasks.ops.bind_masks import carried_on, masks_of
from tasks.ops.bind_points import unslid
from tasks.ops.camera_motion import to_first_frame
from tasks.ops.cast import LeftOut, Limits, Shot, Watched, choose
from tasks.ops.mask_crops import MaskCrops
from tasks.ops.onlookers import OnlookerLimits, find_onlookers, unsure_events, without_onlookers
from tasks.ops.spans import spans_of
from tasks.ops.tracks import Track, tracks_of

Watch = Callable[[list[Track], MaskCrops], Watched]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How tracks become people."""

    limits: Limits = field(default_factory=Limits)
    onlookers: OnlookerLimits | None = field(default_factory=OnlookerLimits)  # None: they are bound like others
    costs: Costs = field(default_factory=Costs)
    touch: float = 0.15  # intersection over union from which two boxes touch
    clinch: float = 0.35  # and from which a tracklet is cut where it is closest
    fill_s: float = 0.25  # gaps up to this are interpolated
    doubt_s: float = 0.25  # how far an unsure step makes its surroundings unsure
    # Probability below which a step is an event. Of 288 bindings of seed 606, as filmed and with worse detections, 65 %
    # of the 26 with a wrong id for half a second or more are kept back then, before refine mends some, and 8 % of those
    # without any; at 0.75 it would be 69 % and 11 %. Of 576 of two seeds on which nothing was set, after refine, 34 of
    # 39 with any wrong id and 9 %.
    doubt: float = 0.7
    own_poses: bool = False  # a pose is its box's, whatever mask holds it: both came with one id


def bind(
    tracklets: Tracklets,
    poses: Poses,
    segments: Segments,
    camera: CameraMotion,
    shot: Shot,
    rules: Rules,
    watch: Watch | None = None,
) -> tuple[People, list[LeftOut]]:
    """The people of one clip, and the tracks that are nobody's. P is 0 when nobody stays.

    watch: gives what the pictures show of the masks of these tracks, points and colours; without it boxes, poses and
    looks alone tell who goes on as whom.
    """
    to_first = to_first_frame(camera.step.astype(np.float64))
    tracks = tracks_of(tracklets, segments, to_first, clinch=rules.clinch)
    crops = MaskCrops(segments.mask)
    watched = watch(tracks, crops) if watch is not None else Watched()
    if watched.points is not None:
        tracks = unslid(tracks, watched.points, tracklets, segments, shot.fps, rules.costs.points)
    looking = find_onlookers(tracks, poses, shot, to_first, rules.onlookers, rules.limits)
    others, audience = without_onlookers(tracks, looking, tracklets, segments)
    people, left_out = choose(others, poses, shot, rules.limits, rules.costs, watched)
    left_out = [*audience, *left_out]
    spans = spans_of(people, shot, to_first, fill_s=rules.fill_s, doubt_s=rules.doubt_s)
    carried = carried_on(spans, tracklets, segments)
    # A tracklet that slipped to an onlooker would carry their masks on.
    carried[np.isin(carried, [i for left in audience for i in left.track.segment])] = -1
    bodies = bodies_of(spans, tracklets, poses, crops, own=rules.own_poses)
    box, flag, visible, masks = masks_of(spans, carried, bodies, crops, shot)
    events = events_of(spans, visible, box, bodies.changed, left_out, shot, rules.touch, rules.doubt)
    if rules.limits.people is None:
        events = (*events, *unexplained(left_out, spans, shot))
    events = in_order([*events, *unsure_events(looking.unsure, people)])
    bound = People(
        box=box.astype(np.float32),
        keypoint=bodies.keypoint,
        score=bodies.score,
        flag=flag,
        mask=masks,
        present=spans.present,
        visible=visible.astype(np.float32),
        confidence=spans.sure.astype(np.float32),
        skeleton=poses.skeleton,
        events=events,
    )
    return bound, left_out
