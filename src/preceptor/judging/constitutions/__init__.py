"""The constitutions that ship with preceptor."""
