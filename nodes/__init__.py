"""What happens in a step: everything that talks to the world."""

import os

# LangGraph reads this once, when it is imported. Checkpoints then bring back plain data only, whatever bytes
# they hold; the state is plain JSON, so nothing is lost by it.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
