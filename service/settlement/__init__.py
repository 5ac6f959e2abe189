"""Settlement: when a trade settles and what it costs. Rules only; obligations are booked by the slices above."""
