// Measures the drawn page and leaves the results in attributes of its root element.
{
  const root = document.documentElement;
  const channels = color => color.match(/[\d.]+/g).map(Number);
  /** Relative luminance (WCAG 2.2). */
  const luminance = color => {
    const [red, green, blue] = channels(color).slice(0, 3).map(channel => channel / 255)
      .map(share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = element => {
    const style = getComputedStyle(element), color = element.closest("svg") ? style.fill : style.color;
    const [dark, light] = [luminance(color), luminance(background(element))].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = element => [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const texts = [...document.querySelectorAll("body *")].filter(each => hasText(each) && each.getClientRects().length);
  const weakest = texts.reduce((least, each) => contrast(each) < contrast(least) ? each : least);
  root.dataset.contrast = contrast(weakest).toFixed(2);
  root.dataset.weakest = weakest.textContent;
  root.dataset.luminance = luminance(background(document.body)).toFixed(2);
  root.dataset.overflow = root.scrollWidth - root.clientWidth;
  root.dataset.plots = [...document.querySelectorAll("svg[role=img]")].filter(svg =>
    svg.querySelector("title").textContent && svg.querySelectorAll("path, rect").length && svg.getBoundingClientRect().height > 100).length;
}
