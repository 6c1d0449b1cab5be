"""The lease on an output: one job at a time writes it, and others learn who does.

A lease is a file, ``.beamscope/lease/000007.json``; the one with the highest number counts. Whoever
holds it writes it again every few seconds, with another beat. A job that finds a lease takes over
by creating the next number, which only one of several can (`files.create_if_absent`). The highest
file is never deleted, so that no number comes twice; at the end of a job it is marked as released,
and no longer says who held it.

No clocks are compared. A lease is stale when its beat does not change while another watches, for
as long as the lease itself says. A process of this machine is looked up instead, and a store is
asked how long ago, by its own time, the lease was written. Of jobs on a cluster the workers write
the beat too, while they work: they need not lose the lease when the process that submitted them is
gone.

Machines that share an output on purpose hold leases in folders of their own (`slot`), one for each
share of the work. The shares of one count can be held at once; a job without shares, and shares of
another count, cannot be held with them. Whoever takes a lease looks before and after for those that
exclude it, so that of two that begin at once one sees the other, or each the other.
"""
