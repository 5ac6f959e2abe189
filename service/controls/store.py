"""Questions about halts, locked brokers and the stream's gate."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.controls.model import Gate
from service.controls.parts import gate_lock, gate_part

READ = select(gate_part())  # composed once: composing takes longer than asking
LOCK = gate_lock()


async def share_gate(connection: AsyncConnection) -> int:
    """Hold the gate against halts until this transaction ends; the cluster's epoch."""
    return int((await connection.execute(LOCK)).scalar_one())


async def gate(connection: AsyncConnection, com_id: str | None) -> Gate:
    """The gate as it is now. `com_id`: the stream that must be seen; none asks about no stream."""
    return Gate.of((await connection.execute(READ, {"com_id": com_id})).mappings().one())
