// The graph with what it was before, for undo and redo, and what a change picks: both belong together, so that nothing
// that comes in between can take the pick for a graph it is not of.
export const begun = (graph) => ({ graph, past: [], future: [], tag: null, pick: null });

export function step(state, action) {
  switch (action.kind) {
    case "change": {
      const graph = action.make(state.graph), pick = action.pick || state.pick;
      if (graph === state.graph || JSON.stringify(graph) === JSON.stringify(state.graph)) return state;
      // Letters typed into one field, or one node moved bit by bit, are one change.
      const past = action.tag && action.tag === state.tag ? state.past : [...state.past.slice(-199), state.graph];
      return { graph, past, future: [], tag: action.tag || null, pick };
    }
    case "undo":
      if (!state.past.length) return state;
      return { ...state, graph: state.past.at(-1), past: state.past.slice(0, -1), future: [state.graph, ...state.future], tag: null };
    case "redo":
      if (!state.future.length) return state;
      return { ...state, graph: state.future[0], past: [...state.past, state.graph], future: state.future.slice(1), tag: null };
    default:
      return begun(action.graph);
  }
}
