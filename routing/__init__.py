"""Who should do what: pure decisions over plain records. Imports neither LangGraph nor LangChain."""
