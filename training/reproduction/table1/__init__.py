"""The paper's Table 1 on real glitches."""
