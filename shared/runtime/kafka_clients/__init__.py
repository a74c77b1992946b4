"""All that imports kafka-python (3.0.12): its clients, made safe, speaking the types of `shared.runtime.log`.

What is changed in them, and why, stands at each class. Clients own threads and do not survive a fork: they are created
at first use, and no process of ours forks afterwards. The stubs that the type checker brings along describe
kafka-python 2; what is taken from version 3 is typed here.
"""
