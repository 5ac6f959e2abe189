"""What the garbage collector looks at. Everything is counted by reference; the collector only finds cycles."""

import gc

YOUNG = 10_000  # new objects before it looks: a request makes about two thousand and leaves no cycle behind


def settle() -> None:
    """Call once, when a process has read and built what it lives by. From then on the collector passes those objects by:
    a look at all of them holds the loop up for a tenth of a second, and an order on its way waits."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
