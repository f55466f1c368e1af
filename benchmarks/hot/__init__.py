"""The labs' hot paths, tab by tab, by public names that older checkouts have too: see benchmarks/against.py.

Each file has `figures()`: (name, work) pairs, of which a process times each several times and takes the median.
Preparation happens in `figures`, outside the clock.
"""
