"""COCO 2017 in its usual layout, twelve epochs."""

_base_ = ["default.py"]

data_root = "data/coco"
input_size = (1344, 800)
epochs = 12
class_names = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
base_batch_size = 16

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="CocoBoxes",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        image_dir="train2017",
        class_names=class_names,
        input_size=input_size,
        flip=0.5,
        train=True,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="stack_samples"),
    dataset=dict(
        type="CocoBoxes",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        image_dir="val2017",
        class_names=class_names,
        input_size=input_size,
    ),
)
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=1)
tiny_overrides = {
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
    "train_dataloader.dataset.input_size": (160, 128),
    "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False,
    "val_dataloader.dataset.input_size": (160, 128),
    "model.input_size": (160, 128),
}
