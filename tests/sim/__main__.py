"""`python -m tests.sim`: the same as `liushui sim`, for whoever stands in the source tree."""

from node.cli.sim import sim

if __name__ == "__main__":
    sim(prog_name="python -m tests.sim")
