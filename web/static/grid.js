/**
 * The number of columns with which tiles of 3:4 to 16:9 become largest in a box.
 * @param {number} count tiles @param {number} width pixels @param {number} height pixels @param {number} gap pixels
 * @returns {{columns: number, width: number, height: number}} of one tile
 */
export function layout(count, width, height, gap = 10) {
  count = Math.max(1, count);
  let best = {columns: 1, width: 0, height: 0};
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const wide = (width - gap * (columns - 1)) / columns, high = (height - gap * (rows - 1)) / rows;
    // Pictures may be cropped a little: anything from 3:4, as phones send, to 16:9. One alone may fill a phone.
    const tileWidth = Math.min(wide, (high * 16) / 9), tileHeight = Math.min(high, wide * (count === 1 ? 2 : 4 / 3));
    if (tileWidth * tileHeight > best.width * best.height) best = {columns, width: tileWidth, height: tileHeight};
  }
  return {columns: best.columns, width: Math.floor(best.width), height: Math.floor(best.height)};
}

/** Keeps a grid's tiles as large as they can be. @param {HTMLElement} grid */
export function keepLayout(grid) {
  const update = () => {
    const count = [...grid.children].filter((child) => !child.classList.contains('self')).length + (grid.dataset.self === 'grid' ? 1 : 0);
    const style = getComputedStyle(grid);
    const {width, height} = layout(count, grid.clientWidth - parseFloat(style.paddingLeft) * 2, grid.clientHeight - parseFloat(style.paddingTop) * 2);
    grid.style.setProperty('--tile-width', `${width}px`);
    grid.style.setProperty('--tile-height', `${height}px`);
  };
  new ResizeObserver(update).observe(grid);
  new MutationObserver(update).observe(grid, {childList: true, attributes: true, attributeFilter: ['data-self']});
  update();
}
