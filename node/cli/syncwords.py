"""How far a node has caught up, as one line with a bar. Words only: what is said comes from the node."""

from typing import Any, Final

BAR_WIDTH: Final = 24
MEBIBYTE: Final = 1_048_576


def describe_sync(sync: dict[str, Any] | None) -> str | None:
    """The line of a status' `sync`; None when the node said nothing of it."""
    if sync is None:
        return None
    done, goal = int(sync["height"]), int(sync["target"])
    match sync["stage"]:
        case "looking_for_peers":
            return (
                f"looking for peers: {sync['validators_heard']} of the {sync['validators_needed']} validators"
                " that make a quorum were heard"
            )
        case "snapshot":
            have, size = int(sync["bytes_done"]), int(sync["bytes_size"])
            told = f"{have / MEBIBYTE:.1f} of {size / MEBIBYTE:.1f} MiB, {sync['bytes_per_s'] / MEBIBYTE:.1f} MiB/s"
            return f"{draw_bar(have, size)}  fetching a snapshot of the books: {told}{_describe_rest(sync['left_s'])}"
        case "blocks" | "executing" as stage:
            what = "fetching blocks" if stage == "blocks" else "executing final blocks"
            told = f"{done} of {goal}, {sync['blocks_per_s']:.1f} blocks/s"
            return f"{draw_bar(done, goal)}  {what}: {told}{_describe_rest(sync['left_s'])}"
        case _:
            return "in step with the network"


def draw_bar(done: int, goal: int) -> str:
    """`[######------]  50 %`; never full before all is done."""
    parts = 0 if goal <= 0 else min(done * BAR_WIDTH // goal, BAR_WIDTH)
    percent = 0 if goal <= 0 else min(done * 100 // goal, 100)
    return f"[{'#' * parts}{'-' * (BAR_WIDTH - parts)}] {percent:3d} %"


def _describe_rest(left_s: int | None) -> str:
    if left_s is None:
        return ""
    if left_s < 120:
        return f", about {left_s} s left"
    return f", about {left_s // 60} min left" if left_s < 7_200 else f", about {left_s // 3_600} h left"


def describe_since(since_ms: int) -> str:
    """For how long, in words."""
    seconds = since_ms // 1_000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
