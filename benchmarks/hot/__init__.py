"""The labs' hot paths, tab by tab, by public names that older checkouts have too: see benchmarks/against.py.

Each file has `figures()`: (name, work) pairs, each timed several times in one process, of which the
quickest run counts. Preparation happens in `figures`, outside the clock.
"""
