"""M-SFANet and M-SegNet: how many people, and where (ICPR 2020, arXiv 2003.05586), and a light variant for live use."""

from perception.plugin import PluginSpec

PLUGIN = PluginSpec(
    name="crowd_counting",
    task="crowd counting",
    summary="M-SFANet, M-SegNet and a light variant: a density map whose sum is the number of people",
    result="density_map",
    sensors=("camera:any",),
    modules=("perception.plugins.crowd_counting.components",),
    configs=(
        "crowd_counting/crowd_light_sim.py",
        "crowd_counting/crowd_light_own.py",
        "crowd_counting/m_sfanet_sha.py",
        "crowd_counting/m_sfanet_shb.py",
        "crowd_counting/m_segnet_sha.py",
        "crowd_counting/m_segnet_shb.py",
        "crowd_counting/m_sfanet_trancos.py",
        "crowd_counting/m_sfanet_qnrf.py",
        "crowd_counting/m_segnet_qnrf.py",
        "crowd_counting/m_sfanet_jhu.py",
    ),
    weights=("crowd_light_sim.safetensors",),
    capabilities=frozenset({"DifferentiableFromImage", "AttackTarget"}),
    bench=("perception.plugins.crowd_counting.bench",),
    parity={"ppn_crowd": "perception.plugins.crowd_counting.parity:run"},
    datasets={
        "shanghaitech": "perception.plugins.crowd_counting.data_tools:ShanghaiTechTool",
        "ucf_qnrf": "perception.plugins.crowd_counting.data_tools:QNRFTool",
        "jhu_crowd": "perception.plugins.crowd_counting.data_tools:JHUCrowdTool",
        "trancos": "perception.plugins.crowd_counting.data_tools:TrancosTool",
        "own_points": "perception.plugins.crowd_counting.data_tools:OwnPointsTool",
    },
)
