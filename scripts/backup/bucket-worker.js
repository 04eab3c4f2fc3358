// The bucket for backup and restore, over a socket: workerd runs this beside the R2 emulation.
export default {
  async fetch(request, { BUCKET }) {
    const { pathname, searchParams } = new URL(request.url);
    const key = pathname.slice(1);
    const upload = searchParams.get("upload");
    const open = upload && BUCKET.resumeMultipartUpload(key, upload);
    switch (request.method) {
      case "HEAD": {
        const found = await BUCKET.head(key);
        return new Response(null, {
          status: found ? 200 : 404,
          headers: { "X-Size": String(found?.size ?? "") },
        });
      }
      case "GET": {
        const found = await BUCKET.get(key);
        return new Response(found?.body ?? null, { status: found ? 200 : 404 });
      }
      case "PUT": {
        const bytes = await request.arrayBuffer();
        if (!open) await BUCKET.put(key, bytes);
        const part = await open?.uploadPart(Number(searchParams.get("part")), bytes);
        return Response.json(part ?? null);
      }
      case "POST": {
        if (!open) return new Response((await BUCKET.createMultipartUpload(key)).uploadId);
        await open.complete(await request.json());
        return new Response("done");
      }
      default:
        return new Response(null, { status: 405 });
    }
  },
};
