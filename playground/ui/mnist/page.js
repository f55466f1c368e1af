// What the MNIST stage consists of. `data-for` names the modes in which a part shows.
const MODES = { both: "Forward & reverse", compare: "Compare", train: "Train live" };
const option = (value, text = value) => `<option value="${value}">${text}</option>`;

const root = element.querySelector(".pg-lab");
root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    <div class="pg-bar pg-mnist-top">
      <div class="pg-modes" role="group" aria-label="What to see">
        ${Object.entries(MODES).map(([mode, name]) => `<button type="button" class="pg-chip" data-mode="${mode}" aria-pressed="false">${name}</button>`).join("")}
      </div>
      <div class="pg-group" data-for="both compare">
        <button type="button" class="pg-main" data-do="generate">Generate</button>
        <button type="button" data-do="stop" disabled>Stop</button>
      </div>
      <div class="pg-group" data-for="train">
        <button type="button" class="pg-main" data-do="train">Train</button>
        <button type="button" data-do="pause" disabled>Pause</button>
        <button type="button" data-do="reset">Reset</button>
      </div>
      <span class="pg-status" role="status" aria-live="polite">loading …</span>
    </div>
    <div class="pg-mnist-square">
      <div class="pg-progress" aria-hidden="true"><i></i></div>
      <canvas data-testid="digits-live" data-t="0" data-painted="0" data-frames="0" data-step="0" data-paths="0" role="img" tabindex="0"
        aria-label="Digits between noise and data"></canvas>
      <div class="pg-warning pg-wrong" role="status" hidden></div>
    </div>
    <div class="pg-bar" data-for="both compare">
      <button type="button" data-do="to_noise" aria-label="to pure noise" title="to pure noise (End)">${ICON.toNoise}</button>
      <button type="button" data-do="play" aria-label="play the reverse process" title="play from noise to data (space)">${ICON.play}</button>
      <button type="button" data-do="to_data" aria-label="to the data" title="to the data (Home)">${ICON.toData}</button>
      <input type="range" class="pg-t" min="-1" max="999" value="-1" aria-label="how noisy (t)" title="how noisy (t): arrows scrub">
      <span class="pg-readout"></span>
      <select class="pg-play-speed" aria-label="playing speed">${[["0.25", "¼×"], ["0.5", "½×"], ["1", "1×"], ["2", "2×"]].map(([v, name]) => option(v, name)).join("")}</select>
    </div>
    <div class="pg-bar" data-for="train">
      <span class="pg-small">training time</span>
      <input type="range" class="pg-time" min="0" max="0" value="0" aria-label="training time, rewind" disabled
        title="see the digits of an earlier step; Train goes on from there">
      <span class="pg-time-readout">step 0</span>
      <button type="button" data-do="rewind" hidden title="put the network back to this step">Go back here</button>
    </div>
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      <button type="button" class="pg-chip" data-do="large" data-for="both compare" aria-pressed="false" title="click a digit to choose it">One large</button>
      <label class="pg-small" data-for="both compare">digit <select class="pg-chosen" aria-label="chosen digit">${Array.from({ length: 16 }, (_, k) => option(k, k + 1)).join("")}</select></label>
      <button type="button" class="pg-chip" data-do="reads" data-for="both compare" aria-pressed="true" title="under each digit what a classifier takes it for">Classifier</button>
      <button type="button" class="pg-chip" data-do="another" data-for="both" title="sixteen other digits of the data set">Other digits</button>
      <span class="pg-spring"></span>
      <button type="button" class="pg-chip" data-do="draw">Draw a digit</button>
      <button type="button" class="pg-chip" data-do="repaint" data-for="both" title="let the model paint a part of the chosen digit anew">Repaint a part</button>
      <button type="button" class="pg-chip" data-do="picture" title="save what you see as a picture">PNG</button>
    </div>
  </section>
  <aside class="pg-charts" aria-label="Charts">
    <dl class="pg-stats" data-for="both compare">
      <div><dt title="of the run, kept for scrubbing">states</dt><dd data-stat="steps">–</dd></div><div><dt title="network evaluations; two a step where guided">calls</dt><dd data-stat="calls">–</dd></div>
      <div><dt>seconds</dt><dd data-stat="seconds">–</dd></div><div><dt>seed</dt><dd data-stat="seed">–</dd></div>
    </dl>
    <dl class="pg-stats" data-for="train">
      <div><dt>step</dt><dd data-stat="step">0</dd></div><div><dt>steps/s</dt><dd data-stat="rate">–</dd></div>
      <div><dt>loss</dt><dd data-stat="loss">–</dd></div><div><dt>read right</dt><dd data-stat="right">–</dd></div>
    </dl>
    <figure data-for="both compare"><figcaption>Pixels at this t <small class="pg-keys"></small></figcaption>
      <canvas data-chart="pixels" role="img" aria-label="How often each pixel value occurs at this t, against the normal distribution"></canvas></figure>
    <figure data-for="both compare"><figcaption>Signal and noise <small class="pg-snr"></small></figcaption>
      <canvas data-chart="levels" role="img" aria-label="Share of signal, ᾱ, and of noise over t"></canvas></figure>
    <figure data-for="both compare" class="pg-reads"><figcaption>What the classifier reads <small class="pg-read-of"></small></figcaption>
      <canvas data-chart="reads" role="img" aria-label="Probability of each class for the chosen digit"></canvas></figure>
    <p class="pg-look pg-reads" data-for="both compare">It knows nothing but digits: pure noise, too, it calls one, and is sure of it.</p>
    <figure data-for="train"><figcaption>Loss <small>mean squared error, per batch</small></figcaption>
      <canvas data-chart="loss" role="img" aria-label="Loss against training steps"></canvas></figure>
    <figure data-for="train"><figcaption>Read correctly <small>share of the sixteen</small></figcaption>
      <canvas data-chart="right" role="img" aria-label="Share of the digits that the classifier reads as asked for, against training steps"></canvas></figure>
    <p class="pg-look" data-for="train">Sixteen digits, always from the same noise: strokes come first, then shapes, then digits that can be read.</p>
  </aside>
  <dialog class="pg-paper" aria-labelledby="pg-paper-title">
    <h3 id="pg-paper-title"></h3>
    <div class="pg-sheet"><canvas class="pg-below" width="112" height="112"></canvas>
      <canvas class="pg-pen" width="112" height="112" aria-label="paper: draw with the mouse or a finger"></canvas></div>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="start_from" data-paper="draw" title="noised to some t, then the model takes over">Start from this</button>
      <span class="pg-group" data-paper="draw"><button type="button" data-do="teach" title="fine-tune the model on what you draw">Teach it this</button>
        <select class="pg-label" aria-label="which digit it is"></select></span>
      <button type="button" class="pg-main" data-do="repaint_this" data-paper="mask">Repaint this</button>
      <span class="pg-spring"></span>
      <button type="button" data-do="wipe">Clear</button><button type="button" data-do="cancel">Cancel</button>
    </div>
  </dialog>`;

const find = (selector) => root.querySelector(selector);
