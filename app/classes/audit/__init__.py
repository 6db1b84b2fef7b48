"""Which labels deserve a second look: impure clusters, and glitches unlike their own label."""
