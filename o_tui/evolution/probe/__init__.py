"""The differential prober: finds inputs on which a candidate does not do what its reference does.

Cases are made from the sources (harvest, recipes, plan), grown and changed where they lead on (grow, mutate), run in
each module by itself (execute, races, in a small world), and their observations compared (observe, compare). The
confined forks are guardian/benches.py: nothing here starts a process.
"""
