"""What is kept beside the lake so that questions need not read all of it; may be deleted at any time.

Derived tables are exact: folding a file of the lake adds its rows to the table (counts are summed, bits joined, the
first and the last time kept), so neither the order of files nor their number matters, and late events need no care.
"""
