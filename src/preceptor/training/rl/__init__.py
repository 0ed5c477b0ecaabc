"""The RL loop: rollouts, rewards, one file per algorithm. An algorithm is added by adding a file and naming it in
`algorithm.py`.
"""
