"""The MNIST tab: knobs left, stage and charts right, and below how it works. Nothing here computes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from playground.diffusion.sampling import SAMPLERS, SamplePath, SampleStep, SamplingConfig, collect
from playground.diffusion.schedule_config import CUSTOM, ScheduleConfig
from playground.mnist import GenerateError, MnistLab
from playground.mnist.data import DIGITS, ImageDataError
from playground.mnist.desk import Desk, Made
from playground.mnist.drawing import digit_from_pixels, mask_from_pixels
from playground.mnist.export import animation, arrays, filmstrip, zipped
from playground.mnist.generate import generate, thinned
from playground.mnist.sources import open_hub, read_folder, read_upload
from playground.mnist.trajectory import load_trajectory
from playground.mnist.wishes import (
    Job,
    Wishes,
    collected,
    compared,
    reads_along,
    reads_forward,
    work_on,
)
from playground.sessions import FullHouse, Sessions
from playground.settings import SETTINGS
from playground.turns import TURNS
from playground.ui.common import MATHS, QUIET, REFUSALS, Update, file_message, lay_out_code, notice
from playground.ui.explain_mnist import HOW_IT_WORKS, RUNNING_CODE
from playground.ui.live.digits import (
    digits_channel,
    digits_stage,
    pack_news,
    pack_path,
    pack_scene,
)
from playground.ui.mnist_knobs import (
    COMPARE_CHOICES,
    COMPARE_DEFAULTS,
    COMPARISONS,
    GROUPS,
    KNOBS,
    LIVE_KNOBS,
    MOST_COMPARED,
    wishes,
)
from playground.ui.mnist_training import LiveTraining, live_knobs, still

TAKEN_SAMPLING = ("sampler", "steps", "spacing")  # comes with a schedule from the Schedules tab
KEPT_STATES = 101  # of a run: what crosses to the browser, and what is kept to take home
ASIDE: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "mnist-aside"}
DRAW: dict[str, Any] = {**QUIET, "concurrency_limit": 8, "concurrency_id": "mnist-draw"}
FIRST_TITLE = "DDPM, 1,000 steps, every 5th kept (drawn beforehand)"


class MnistTab:
    """The tab's components and events. `sessions` knows whose desk is whose."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.notices: dict[str, gr.HTML] = {}
        self.controls: dict[str, Any] = {}
        self._lay_out()
        self._wire()

    # --- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.scene, self.path = digits_channel("scene"), digits_channel("path")
        self.news, self.files = digits_channel("news"), digits_channel("file")
        self.brought = gr.Textbox("", visible="hidden", elem_classes="pg-channel")  # from the Schedules tab, as JSON
        with gr.Row(elem_classes="pg-room"):
            self.stage = digits_stage()
            with gr.Column(elem_classes="pg-knobs", min_width=260, scale=0):
                for name in GROUPS:
                    with gr.Accordion(name, open=name in ("Digits", "Sampler"), elem_classes="pg-group"):
                        self._lay_out_group(name)
                with gr.Accordion("Compare", open=False, elem_classes="pg-group"):
                    self._lay_out_comparison()
                with gr.Accordion("Images", open=False, elem_classes="pg-group"):
                    self._lay_out_images()
        with gr.Accordion("How it works", open=False), gr.Tabs():
            for title, text in HOW_IT_WORKS.items():
                with gr.Tab(title):
                    gr.Markdown(text, latex_delimiters=MATHS)
        lay_out_code(RUNNING_CODE)
        with gr.Accordion("Take it home", open=False):
            with gr.Row():
                self.strip = gr.Button("Filmstrip (.png)", size="sm")
                self.gif = gr.Button("Animation (.gif)", size="sm")
                self.npz = gr.Button("Numbers (.npz)", size="sm")
                self.save = gr.Button("Save the model (.safetensors)", size="sm")
                self.restore = gr.UploadButton("Open a saved model", type="binary", size="sm")
            self.notices["Home"] = gr.HTML("", elem_classes="pg-notice")

    def _lay_out_group(self, name: str) -> None:
        default = Wishes()
        for knob in (k for k in GROUPS[name] if not k.more):
            self.controls[knob.path] = knob.component(default)
        if name == "Live training":
            self.draws_with = gr.Radio(
                [("the model that ships", "shipped"), ("the one trained here", "trained")],
                value="shipped",
                label="digits are drawn by",
                info="Train on the stage (Train live), then let what was learned draw.",
            )
        self.notices[name] = gr.HTML("", elem_classes="pg-notice")
        if any(k.more for k in GROUPS[name]):
            with gr.Accordion("more", open=False, elem_classes="pg-more"):
                for knob in (k for k in GROUPS[name] if k.more):
                    self.controls[knob.path] = knob.component(default)

    def _lay_out_comparison(self) -> None:
        self.by = gr.Dropdown(
            [(title, by) for by, title in COMPARISONS.items()],
            value="sampler",
            label="compare",
            info="From the same noise, all else as the knobs say.",
            filterable=False,
        )
        self.values = gr.Dropdown(
            COMPARE_CHOICES["sampler"],
            value=COMPARE_DEFAULTS["sampler"],
            multiselect=True,
            max_choices=MOST_COMPARED,
            label="two to four of them",
        )
        self.compare = gr.Button("Compare", size="sm")
        self.notices["Compare"] = gr.HTML("", elem_classes="pg-notice")

    def _lay_out_images(self) -> None:
        self.upload = gr.UploadButton("Upload images (.zip, .png, .jpg)", type="filepath", size="sm")
        self.folder = gr.UploadButton("Upload a folder of images", type="filepath", file_count="directory", size="sm")
        self.hub = gr.Textbox(label="or a data set on the Hugging Face Hub", placeholder="fashion_mnist, cifar10 …")
        self.back = gr.Button("Back to MNIST", size="sm")
        self.notices["Images"] = gr.HTML("", elem_classes="pg-notice")

    def _wire(self) -> None:
        stage, knobs = self.stage, [*(self.controls[k.path] for k in KNOBS), self.brought]
        shown = [self.scene, self.path, self.news, *self.notices.values()]
        taken = [self.controls[name] for name in ("schedule", *TAKEN_SAMPLING)]
        self.takes = [self.scene, self.news, self.brought, *taken, self.notices["Sampler"]]
        self.knobs = knobs
        stage.ready(self._ready, inputs=knobs, outputs=shown, preprocess=False, **ASIDE)
        stage.another(self._another, inputs=knobs, outputs=shown, preprocess=False, **ASIDE)
        begin = self.controls["begin"]
        sampling = [
            stage.generate(
                self._generate, inputs=[self.by, self.values, *knobs], outputs=shown, preprocess=False, **DRAW
            ),
            stage.masked(self._masked, inputs=knobs, outputs=[*shown, begin], preprocess=False, **DRAW),
            stage.drawn(
                self._drawn,
                inputs=knobs,
                outputs=[*shown, begin, self.controls["learn"]],
                preprocess=False,
                **DRAW,
            ),
            self.compare.click(
                self._compare, inputs=[self.by, self.values, *knobs], outputs=shown, preprocess=False, **DRAW
            ),
        ]
        asking: dict[str, Any] = {"inputs": knobs, "outputs": shown, "preprocess": False, **DRAW}
        for path, control in self.controls.items():
            if path in LIVE_KNOBS:
                continue
            sampling.append(control.input(self._turned, trigger_mode="always_last", **asking))
        stage.stop(self._stopped, outputs=[self.news], cancels=sampling, queue=False, **QUIET)
        self.by.input(self._choices, inputs=[self.by], outputs=[self.values], preprocess=False, **ASIDE)

        LiveTraining(self.sessions, stage, self.notices["Live training"], self.draws_with, knobs)
        self.upload.upload(self._upload, inputs=[self.upload, *knobs], outputs=shown, **ASIDE)
        self.folder.upload(self._upload_folder, inputs=[self.folder, *knobs], outputs=shown, **ASIDE)
        self.hub.submit(self._hub, inputs=[self.hub, *knobs], outputs=shown, **ASIDE)
        self.back.click(self._back, inputs=knobs, outputs=shown, **ASIDE)
        home = [self.files, self.notices["Home"]]
        self.strip.click(self._taking("png"), outputs=home, **ASIDE)
        self.gif.click(self._taking("gif"), outputs=home, **ASIDE)
        self.npz.click(self._taking("npz"), outputs=home, **ASIDE)
        self.save.click(self._save, outputs=home, **ASIDE)
        opened = [*shown, self.draws_with, stage]
        self.restore.upload(self._restore, inputs=[self.restore, *knobs], outputs=opened, **ASIDE)

    # --- what the page shows -------------------------------------------------------------------------------------

    def _desk(self, request: gr.Request) -> Desk:
        return self.sessions.known(str(request.session_hash)).digits

    def _scene(self, desk: Desk, wish: Wishes) -> str:
        """The images on the desk, one noise for each, and the schedule."""
        table = desk.shown(wish.request().make_schedule())
        images = desk.uploaded
        classes, name = (DIGITS, "MNIST test digits") if images is None else (images.classes, images.name)
        with TURNS.work():
            reads, reads_t = reads_forward(table, classes)
        return pack_scene(table, classes, name, reads, reads_t)

    def _attempt(self, request: gr.Request, group: str, change: Callable[[Desk], Update]) -> Update:
        """What `change` of the desk shows; when it is refused, why, beside its group."""
        try:
            return {self.notices[group]: "", **change(self._desk(request))}
        except REFUSALS as refusal:
            return {self.notices[group]: notice(str(refusal), wrong=True)}

    def _ready(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        try:
            desk = self.sessions.visitor(str(request.session_hash)).digits
            yield {self.scene: self._scene(desk, wishes(values))}
            yield {self.path: _first_path(), self.news: pack_news(f"Shown: {FIRST_TITLE}", sampling=False)}
        except (*REFUSALS, FullHouse) as refusal:
            yield {self.news: pack_news(str(refusal), wrong=True)}

    def take_schedule(
        self, config: ScheduleConfig, sampling: SamplingConfig, request: gr.Request, *values: Any
    ) -> Update:
        """Everything from now on by the schedule `config` and sampler, steps and spacing of `sampling`; the other
        knobs' `values` as they stand. Raises REFUSALS.
        """
        taken = {name: getattr(sampling, name) for name in TAKEN_SAMPLING}
        wish = dataclasses.replace(wishes(values), schedule=CUSTOM, custom_schedule=config.to_dict(), **taken)
        said = f"Brought from Schedules: {config.title}, {SAMPLERS[sampling.sampler].title}."
        return {
            # A blank more than what `_ready` sends: a tab not opened yet hears of new values only from then on.
            self.scene: self._scene(self._desk(request), wish) + "\n",
            self.brought: json.dumps(config.to_dict()),
            self.controls["schedule"]: CUSTOM,
            **{self.controls[name]: value for name, value in taken.items()},
            self.notices["Sampler"]: notice(said),
            self.news: pack_news(f"{said} Press Generate."),
        }

    def _another(self, request: gr.Request, *values: Any) -> Update:
        def other(desk: Desk) -> Update:
            desk.real_seed += 1
            return {self.scene: self._scene(desk, wishes(values))}

        return self._attempt(request, "Images", other)

    # --- drawing digits ------------------------------------------------------------------------------------------

    def _generate(
        self, request: gr.Request, event: gr.EventData, by: Any, chosen: Any, *values: Any
    ) -> Iterator[Update]:
        """Draw what the knobs say, with a word on progress; when it cannot be, why."""
        if event._data.get("mode") == "compare":
            yield from self._compare(request, by, chosen, *values)
            return
        try:
            desk, wish = self._desk(request), wishes(values)
            yield from self._draw(desk, work_on(desk, wish), wish)
        except REFUSALS as refusal:
            yield self._refused(str(refusal))

    def _refused(self, why: str) -> Update:
        return {
            self.news: pack_news(why, wrong=True, sampling=False),
            self.notices["Sampler"]: notice(why, wrong=True),
        }

    def _draw(self, desk: Desk, job: Job, wish: Wishes) -> Iterator[Update]:
        yield {self.news: pack_news("Starting …", progress=(0, job.total), sampling=True), self.notices["Sampler"]: ""}
        steps: list[SampleStep] = []
        asked, begun = desk.ask(), time.perf_counter()
        for steps in collected(job):
            if desk.asked != asked:  # another wish came meanwhile, and is at work on its own
                return
            yield {self.news: pack_news("Drawing …", progress=(len(steps), job.total), sampling=True)}
        seconds = time.perf_counter() - begun
        path = collect(steps, job.labels, wish.seed)
        done = pack_news(_words(path, seconds), sampling=False)
        if not job.beside:
            yield {self.path: self._packed(desk, path, job.title, seconds), self.news: done}
            return
        desk.comparisons += 1
        beside = collect(job.beside, job.labels, wish.seed)
        yield {self.path: self._packed(desk, beside, job.beside_title, 0.0, slot=0, slots=2)}
        yield {self.path: self._packed(desk, path, job.title, seconds, slot=1, slots=2), self.news: done}

    def _packed(self, desk: Desk, path: SamplePath, title: str, seconds: float, slot: int = 0, slots: int = 1) -> str:
        """A run for the stage; it is also what is taken home next."""
        kept = thinned(path, KEPT_STATES)
        desk.made = [*(desk.made if slot else []), Made(kept, title)]
        with TURNS.work():
            reads = reads_along(kept, desk.lab.model.classes if desk.uploaded is None else ())
        caption = _words(path, seconds)
        place: dict[str, Any] = {"slot": slot, "slots": slots, "comparison": desk.comparisons}
        return pack_path(kept, reads, title=title, caption=caption, seconds=seconds, **place)

    def _turned(self, request: gr.Request, *values: Any) -> Iterator[Update]:
        """A knob was turned: the images on their way into noise follow at once, then what was drawn is drawn anew."""
        try:
            desk, wish = self._desk(request), wishes(values)
            job = work_on(desk, wish)
            yield {self.scene: self._scene(desk, wish)}
            yield from self._draw(desk, job, wish)
        except REFUSALS as refusal:
            yield self._refused(str(refusal))

    def _drawn(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        """A digit was drawn: to start from, or to be taught."""
        begin, learn = self.controls["begin"], self.controls["learn"]
        try:
            desk, wish = self._desk(request), wishes(values)
            digit = digit_from_pixels(event._data.get("pixels"))
            if event._data.get("use") == "teach":
                label = event._data.get("label")
                if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(DIGITS):
                    raise ImageDataError("Say which digit it is, 0 to 9.")
                desk.teach(digit, label)
                said = f"{len(desk.drawn)} drawn to teach. More, or press Train (Train live)."
                yield {learn: "drawn", self.news: pack_news(said), self.notices["Live training"]: notice(said)}
                return
            desk.drawing = digit
            wish = dataclasses.replace(wish, begin="drawing")
            yield {begin: "drawing"}
            yield from self._draw(desk, work_on(desk, wish), wish)
        except REFUSALS as refusal:
            yield self._refused(str(refusal))

    def _masked(self, request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[Update]:
        """A part of a real digit was painted over: paint it anew."""
        try:
            desk, wish = self._desk(request), wishes(values)
            index = event._data.get("index")
            if not isinstance(index, int) or isinstance(index, bool) or index < 0:
                raise ImageDataError("Choose one of the digits first.")
            desk.mask = (index, mask_from_pixels(event._data.get("pixels")))
            wish = dataclasses.replace(wish, begin="mask")
            yield {self.controls["begin"]: "mask"}
            yield from self._draw(desk, work_on(desk, wish), wish)
        except REFUSALS as refusal:
            yield self._refused(str(refusal))

    def _compare(self, request: gr.Request, by: Any, chosen: Any, *values: Any) -> Iterator[Update]:
        """The same noise, two to four ways."""
        try:
            desk, wish = self._desk(request), wishes(values)
            allowed = {value for _, value in COMPARE_CHOICES.get(str(by), [])}
            given = chosen if isinstance(chosen, list) else []
            picked = [value for value in given if isinstance(value, str) and value in allowed]
            if not 2 <= len(picked) <= MOST_COMPARED:
                raise GenerateError(f"Choose two to {MOST_COMPARED} to compare.")
            desk.comparisons += 1
            requests = [compared(wish.request(len(desk.lab.model.classes)), str(by), value) for value in picked]
            asked = desk.ask()
            for slot, (each, title) in enumerate(requests):
                each.make_schedule()
                labels = None if each.labels is None else torch.tensor(each.labels)
                job = Job(generate(desk.lab.model, each), each.sampling.steps, title, labels)
                steps: list[SampleStep] = []
                begun = time.perf_counter()
                for steps in collected(job):
                    if desk.asked != asked:
                        return
                    word = f"{title}: {slot + 1} of {len(requests)} …"
                    yield {self.news: pack_news(word, progress=(len(steps), job.total), sampling=True)}
                seconds = time.perf_counter() - begun
                path, last = collect(steps, labels, wish.seed), slot == len(requests) - 1
                yield {
                    self.path: self._packed(desk, path, title, seconds, slot=slot, slots=len(requests)),
                    self.news: pack_news("Compared." if last else "", sampling=not last),
                    self.notices["Compare"]: "",
                }
        except REFUSALS as refusal:
            why = str(refusal)
            yield {
                self.news: pack_news(why, wrong=True, sampling=False),
                self.notices["Compare"]: notice(why, wrong=True),
            }

    def _choices(self, by: Any) -> Any:
        if by not in COMPARE_CHOICES:
            return gr.skip()
        return gr.Dropdown(choices=COMPARE_CHOICES[by], value=COMPARE_DEFAULTS[by])

    def _stopped(self) -> str:
        return pack_news("Stopped.", sampling=False)

    # --- images of one's own, and things to keep -----------------------------------------------------------------

    def _upload(self, path: str | None, request: gr.Request, *values: Any) -> Update:
        def use(desk: Desk) -> Update:
            if path is None:
                raise ImageDataError("Choose a file first.")
            uploaded = Path(path)  # Gradio put it into its own folder, and lets no request name any other file
            desk.uploaded = read_upload(_taken([uploaded])[0][1], uploaded.name)
            return self._opened(desk, wishes(values))

        return self._attempt(request, "Images", use)

    def _upload_folder(self, paths: list[str] | None, request: gr.Request, *values: Any) -> Update:
        def use(desk: Desk) -> Update:
            if not paths:
                raise ImageDataError("Choose a folder with images in it.")
            desk.uploaded = read_folder(_taken([Path(path) for path in paths]))
            return self._opened(desk, wishes(values))

        return self._attempt(request, "Images", use)

    def _hub(self, name: Any, request: gr.Request, *values: Any) -> Update:
        def use(desk: Desk) -> Update:
            desk.uploaded = open_hub(str(name or "").strip())
            return self._opened(desk, wishes(values))

        return self._attempt(request, "Images", use)

    def _opened(self, desk: Desk, wish: Wishes) -> Update:
        images = desk.uploaded
        assert images is not None
        c, h, w = images.shape
        colour = "grey" if c == 1 else "colour"
        said = f"{images.name}: {len(images):,} images, {h}×{w}, {colour}. Live training can learn from them."
        return {self.scene: self._scene(desk, wish), self.notices["Images"]: notice(said)}

    def _back(self, request: gr.Request, *values: Any) -> Update:
        def back(desk: Desk) -> Update:
            desk.uploaded = None
            return {self.scene: self._scene(desk, wishes(values))}

        return self._attempt(request, "Images", back)

    def _taking(self, kind: str) -> Callable[[gr.Request], Update]:
        """What a button of "Take it home" does."""
        write = {"png": filmstrip, "gif": animation, "npz": arrays}[kind]

        def take(desk: Desk) -> Update:
            made = list(desk.made) or [Made(thinned(load_trajectory(), KEPT_STATES), FIRST_TITLE)]
            with TURNS.work():
                files = [write(each.path) for each in made]
            name, data = f"mnist-seed-{made[0].path.seed}.{kind}", files[0]
            if len(files) > 1:
                name, data = f"{name}.zip", zipped({f"{k + 1}.{kind}": file for k, file in enumerate(files)})
            said = f"{name}: {', '.join(each.title for each in made)}; {len(data):,} bytes."
            return {self.files: file_message(name, data), self.notices["Home"]: notice(said)}

        def taking(request: gr.Request) -> Update:
            return self._attempt(request, "Home", take)

        return taking

    def _save(self, request: gr.Request) -> Update:
        def save(desk: Desk) -> Update:
            name, packed = "mnist-lab.safetensors", desk.lab.to_bytes()
            if len(packed) > SETTINGS.max_file_bytes:
                raise GenerateError(
                    f"With the images it learns from this run has {len(packed):,} bytes; a file may have "
                    f"{SETTINGS.max_file_bytes:,}. Train on fewer images, or on MNIST."
                )
            said = f"Saved: {desk.lab.model.name}" + (
                f", and the run at step {desk.lab.run.step:,}." if desk.lab.run else "."
            )
            return {self.files: file_message(name, packed), self.notices["Home"]: notice(said)}

        return self._attempt(request, "Home", save)

    def _restore(self, data: bytes | None, request: gr.Request, *values: Any) -> Update:
        def use(desk: Desk) -> Update:
            lab = MnistLab.from_bytes(data or b"")
            desk.control.paused = True
            desk.lab, desk.opened = lab, live_knobs(wishes(values))
            desk.runs += 1
            shown: Update = {self.draws_with: "trained", self.notices["Home"]: notice(f"Opened: {lab.model.name}.")}
            if lab.run is not None:
                shown[self.stage] = still(desk, lab.run, f"Opened at step {lab.run.step:,}: Train goes on from there")
            return shown

        return self._attempt(request, "Home", use)


def _taken(paths: list[Path]) -> list[tuple[str, bytes]]:
    """Uploaded files' names and contents; the files go. Raises ImageDataError.

    Gradio keeps a file under its content's checksum: of two who upload the same, one may find it gone.
    """
    most = SETTINGS.max_image_upload_bytes
    try:
        if sum(path.stat().st_size for path in paths) > most:
            raise ImageDataError(f"This is more than {most:,} bytes. Choose fewer images.")
        return [(path.name, path.read_bytes()) for path in paths]
    except FileNotFoundError as error:
        raise ImageDataError("The upload got lost. Please upload it again.") from error
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _words(path: SamplePath, seconds: float) -> str:
    return f"{path.calls:,} network calls, {seconds:.1f} s, seed {path.seed}"


@lru_cache(maxsize=1)
def _first_path() -> str:
    """The shipped run, packed: the same string for every visitor."""
    path = load_trajectory()
    return pack_path(
        path, reads_along(path), title=FIRST_TITLE, caption=f"1,000 network calls, seed {path.seed}", seconds=None
    )


def warm_up() -> None:
    """What the tab needs first, before anyone opens it."""
    with TURNS.work():
        _first_path()
        MnistLab()
