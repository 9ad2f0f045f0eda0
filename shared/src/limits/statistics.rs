//! Statistics of limits: minute tallies, folded into rows per account and day.
