"""The paper's tables, figures and lemma, by one command, at three sizes.

Sankarapandian and Kulis 2020, "beta-Annealed Variational Autoencoder for glitches".
"""
