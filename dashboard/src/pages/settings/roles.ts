export const roleTexts = { admin: "Admin", member: "Member", viewer: "Viewer" } as const;
