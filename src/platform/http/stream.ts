/**
 * A body out of a generator's pieces, each made when the client has taken the one before. A client
 * that goes away ends the generator where it is; a fault breaks the answer off, so that nobody
 * takes a part for the whole.
 */
export function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        let next = await pieces.next();
        while (!next.done && next.value.length === 0) next = await pieces.next();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await pieces.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
