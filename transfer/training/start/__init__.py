"""How other languages' adapters become the adapter that a run begins with. Read `begin` first.

`request` reads what was asked for, `chosen` finds it in a store, `head` and `sounds` fill the new
head; `fused`, with `attention` or `concatenation`, lets the way in which several are put together
be learned. Whatever is learned ends as the plain weights of one ordinary adapter.
"""
