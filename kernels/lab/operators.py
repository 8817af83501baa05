"""The table of operators: every family's entries in one list. A family is one file."""

import attention
import dense
import moe
import rows

FAMILIES = (rows, dense, attention, moe)


def all_operators():
    return [operator for family in FAMILIES for operator in family.OPERATORS]
