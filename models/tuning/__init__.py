"""Training inside the app: a few numbers beside a resident base learn one picture in seconds, in the engine's painting thread and in
slices, so that live frames come in between. A trainer is a space (what is learned) and losses; what comes out is an ordinary file that
an adapter reads. The lab trains what ships and is never imported from here.
"""
