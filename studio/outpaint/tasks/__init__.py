"""What the Outpaint tab can ask the models for: one file is one task, `TASK = Task(id, title, run)`; see studio/workbench/task.py."""
