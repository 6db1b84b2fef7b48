"""Reproduction of the paper's tables, figures and lemma by one command, in three sizes.

Sankarapandian and Kulis 2020, "beta-Annealed Variational Autoencoder for glitches".
"""
