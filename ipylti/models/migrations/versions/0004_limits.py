"""What an assignment's servers may use"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = ("assignments", "blueprints")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("memory", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("cpus", sa.Double(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "cpus")
        op.drop_column(table, "memory")
