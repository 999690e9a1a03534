"""What all trainings share."""

default_scope = "perception"
log_processor = dict(window_size=50)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
randomness = dict(seed=0)
env_cfg = dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=1))
