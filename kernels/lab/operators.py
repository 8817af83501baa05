"""The table of operators and benches: every family's entries in one list. A family is one file of operators and one of benches."""

import attention
import attention_bench
import decode
import dense
import dense_bench
import experts
import graph
import hstu
import losses
import moe
import moe_bench
import rows
import rows_bench
import selection
import softmax


def all_operators():
    return [operator for family in (rows, selection, dense, graph, losses, softmax, attention, decode, hstu, moe, experts) for operator in family.OPERATORS]


def all_benches():
    """Those with a target in the issue first: the report's last lines give way when there are too many."""
    return [bench for family in (rows_bench, attention_bench, moe_bench, dense_bench) for bench in family.BENCHES]
